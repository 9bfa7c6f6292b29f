import { type QueryClient, queryOptions, useQuery } from "@tanstack/react-query"
import { api, unwrap } from "../api/client"
import { ApiError } from "../api/errors"
import type { User } from "../api/types"

// Set while the user is logged in, so that the first paint of the next visit has no "Log in". See `early-theme.js`.
const HINT = "kennel-session"

/** Whether the user was logged in at the last visit. */
export const wasLoggedIn = "session" in document.documentElement.dataset

const otherTabs = new BroadcastChannel("kennel-session")

const meQuery = queryOptions({
  queryKey: ["me"],
  queryFn: async ({ signal }): Promise<User | null> => {
    try {
      const { body } = await unwrap(api.GET("/user/profile", { signal }))
      return storeHint(body.data)
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) return storeHint(null)
      throw error
    }
  },
  staleTime: 60_000,
})

/** The session: `me` is the user, null for an anonymous visitor, and undefined while loading. */
export function useSession() {
  const { data: me, error, refetch } = useQuery(meQuery)
  return { me, error, refetch }
}

/** Store a newer version of the current user. */
export function updateMe(client: QueryClient, me: User): void {
  client.setQueryData(meQuery.queryKey, me)
}

/** Store who is logged in after a login or logout, and notify the other tabs. */
export function changeSession(client: QueryClient, me: User | null): void {
  client.setQueryData(meQuery.queryKey, storeHint(me))
  refetchAllButMe(client)
  otherTabs.postMessage("changed")
}

/** Store that the session has expired. Return whether the user was thought to be logged in. */
export function forgetSession(client: QueryClient): boolean {
  if (!client.getQueryData(meQuery.queryKey)) return false
  client.setQueryData(meQuery.queryKey, storeHint(null))
  return true
}

/** Update when another tab logs in or out. Return a function to unsubscribe. */
export function subscribeToOtherTabs(client: QueryClient): () => void {
  const update = () => {
    void client.refetchQueries(meQuery).then(() => {
      refetchAllButMe(client)
    })
  }
  otherTabs.addEventListener("message", update)
  return () => {
    otherTabs.removeEventListener("message", update)
  }
}

function refetchAllButMe(client: QueryClient): void {
  void client.invalidateQueries({ predicate: ({ queryKey }) => queryKey[0] !== meQuery.queryKey[0] })
}

function storeHint(me: User | null): User | null {
  try {
    if (me) localStorage.setItem(HINT, "yes")
    else localStorage.removeItem(HINT)
  } catch {
    // Storage is blocked, so the next first paint may show the wrong links.
  }
  return me
}
