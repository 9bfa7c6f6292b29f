import { type QueryClient, queryOptions, useQuery } from "@tanstack/react-query"
import { answer, api } from "../api/client"
import { ApiError } from "../api/errors"
import type { User } from "../api/types"

// Kept while somebody is logged in, so that the next visit's first view needs no "Log in". See `early-theme.js`.
const HINT = "kennel-session"

/** Whether somebody was logged in when this browser was last here. */
export const wasLoggedIn = "session" in document.documentElement.dataset

const otherTabs = new BroadcastChannel("kennel-session")

const meQuery = queryOptions({
  queryKey: ["me"],
  queryFn: async ({ signal }): Promise<User | null> => {
    try {
      const { body } = await answer(api.GET("/user/profile", { signal }))
      return remember(body.data)
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) return remember(null)
      throw error
    }
  },
  staleTime: 60_000,
})

/** Who is logged in: `me` is the user, null for nobody, and undefined while we do not know yet. */
export function useSession() {
  const { data: me, error, refetch } = useQuery(meQuery)
  return { me, error, refetch }
}

/** Keep a newer version of the user who is logged in. */
export function updateMe(client: QueryClient, me: User): void {
  client.setQueryData(meQuery.queryKey, me)
}

/** Somebody has logged in, or nobody is any more. All tabs follow. */
export function changeSession(client: QueryClient, me: User | null): void {
  client.setQueryData(meQuery.queryKey, remember(me))
  refetchAllButMe(client)
  otherTabs.postMessage("changed")
}

/** Note that the session has ended elsewhere. Says whether we believed that somebody was logged in. */
export function forgetSession(client: QueryClient): boolean {
  if (!client.getQueryData(meQuery.queryKey)) return false
  client.setQueryData(meQuery.queryKey, remember(null))
  return true
}

/** Follow what other tabs do. Returns the way to stop. */
export function followOtherTabs(client: QueryClient): () => void {
  const follow = () => {
    void client.refetchQueries(meQuery).then(() => {
      refetchAllButMe(client)
    })
  }
  otherTabs.addEventListener("message", follow)
  return () => {
    otherTabs.removeEventListener("message", follow)
  }
}

function refetchAllButMe(client: QueryClient): void {
  void client.invalidateQueries({ predicate: ({ queryKey }) => queryKey[0] !== meQuery.queryKey[0] })
}

function remember(me: User | null): User | null {
  try {
    if (me) localStorage.setItem(HINT, "yes")
    else localStorage.removeItem(HINT)
  } catch {
    // Storage is blocked, so the next first view guesses.
  }
  return me
}
