import {
  keepPreviousData,
  type QueryClient,
  useInfiniteQuery,
  useMutation,
  useQuery,
  useQueryClient,
} from "@tanstack/react-query"
import { answer, api } from "../api/client"
import { ApiError } from "../api/errors"
import type { Dog } from "../api/types"
import { useSession } from "../session/session"
import type { ListQuery } from "./list-query"
import type { DogValues } from "./merge"
import { dogsOf, type Pages, withDog, withoutDog } from "./pages"

const PAGE_LENGTH = 48

/** What else is to be done when a form sends its values, and when they have arrived. */
type Handlers<Result> = {
  onMutate?: (values: DogValues) => void
  onSuccess?: (result: Result, values: DogValues) => void
}

/** A dog as it once stood, and the ETag that names this state of it. */
export type Version = { dog: Dog; etag: string }

/** The dogs that the query asks for, page by page. Until they are here: those of the query before. */
export function useDogs(query: ListQuery) {
  const { me } = useSession()
  return useInfiniteQuery({
    queryKey: ["dogs", query, query.mine && me?.id],
    queryFn: async ({ pageParam: cursor, signal }) => {
      const params = { query: { ...query, limit: PAGE_LENGTH, cursor } }
      return (await answer(api.GET("/api/v1/dogs", { params, signal }))).body
    },
    initialPageParam: undefined as string | undefined,
    getNextPageParam: ({ page }) => page.next,
    select: dogsOf,
    placeholderData: keepPreviousData,
    enabled: !query.mine || Boolean(me),
  })
}

/** A dog as it stands now. It is not read again behind the back of a form that was filled from it. */
export function useVersion(id: number) {
  return useQuery({
    queryKey: ["dog", id],
    queryFn: ({ signal }) => readVersion(id, signal),
    staleTime: "static",
    gcTime: 0,
  })
}

export function useAddDog({ onMutate, onSuccess }: Handlers<Version> = {}) {
  const client = useQueryClient()
  return useMutation({
    mutationFn: (values: DogValues) => versionOf(api.POST("/api/v1/dogs", { body: bodyOf(values) })),
    onMutate,
    onSuccess: (added, values) => {
      onSuccess?.(added, values)
      refetchLists(client)
    },
  })
}

/** How a dog stands after one wanted to save it. */
type Outcome = Version & { isSaved: boolean }

/** Save a dog if it still is this version. Otherwise nothing is written, and the newer version comes back. */
export function useSaveDog({ dog: { id }, etag }: Version, { onMutate, onSuccess }: Handlers<Outcome>) {
  const client = useQueryClient()
  return useMutation({
    mutationFn: async (values: DogValues): Promise<Outcome> => {
      const params = { path: { dog_id: id }, header: { "If-Match": etag } }
      try {
        const saved = await versionOf(api.PUT("/api/v1/dogs/{dog_id}", { params, body: bodyOf(values) }))
        return { ...saved, isSaved: true }
      } catch (error) {
        if (!(error instanceof ApiError && error.status === 412)) throw error
        return { ...(await readVersion(id)), isSaved: false }
      }
    },
    onMutate,
    onSuccess: (outcome, values) => {
      onSuccess?.(outcome, values)
      changeLists(client, (pages) => withDog(pages, outcome.dog))
    },
    onError: ({ status }) => {
      if (status === 404) changeLists(client, (pages) => withoutDog(pages, id))
    },
  })
}

/** Delete a dog. `onDeleted` gets it as it last was, or null where it had been deleted before. */
export function useDeleteDog(onDeleted: (dog: Dog | null) => void) {
  const client = useQueryClient()
  return useMutation({
    mutationFn: async ({ id }: Dog) => {
      try {
        const params = { path: { dog_id: id } }
        return (await answer(api.DELETE("/api/v1/dogs/{dog_id}", { params }))).body.data
      } catch (error) {
        if (!(error instanceof ApiError && error.status === 404)) throw error
        return null
      }
    },
    onSuccess: (deleted, { id }) => {
      onDeleted(deleted)
      changeLists(client, (pages) => withoutDog(pages, id))
    },
  })
}

function readVersion(id: number, signal?: AbortSignal): Promise<Version> {
  return versionOf(api.GET("/api/v1/dogs/{dog_id}", { params: { path: { dog_id: id } }, signal }))
}

async function versionOf(call: Parameters<typeof answer<{ data: Dog }>>[0]): Promise<Version> {
  const { body, response } = await answer(call)
  // "*" is any state. The API always names one.
  return { dog: body.data, etag: response.headers.get("ETag") ?? "*" }
}

function bodyOf({ name, breed, owner }: DogValues) {
  return owner.trim() ? { name, breed, owner } : { name, breed }
}

/** Show a change at once where it is known, and then read all lists anew: it may have moved the dog. */
function changeLists(client: QueryClient, change: (pages: Pages) => Pages): void {
  client.setQueriesData<Pages>({ queryKey: ["dogs"] }, (pages) => pages && change(pages))
  refetchLists(client)
}

function refetchLists(client: QueryClient): void {
  void client.invalidateQueries({ queryKey: ["dogs"] })
}
