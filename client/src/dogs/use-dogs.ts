import {
  keepPreviousData,
  type QueryClient,
  useInfiniteQuery,
  useMutation,
  useQuery,
  useQueryClient,
} from "@tanstack/react-query"
import { api, unwrap } from "../api/client"
import { ApiError } from "../api/errors"
import type { Dog } from "../api/types"
import { useSession } from "../session/session"
import type { ListQuery } from "./list-query"
import type { DogValues } from "./merge"
import { type Pages, removeDog, replaceDog, uniqueDogs } from "./pages"

const PAGE_SIZE = 48

/** Additional callbacks when a form submits its values, and when that succeeded. */
type Handlers<Result> = {
  onMutate?: (values: DogValues) => void
  onSuccess?: (result: Result, values: DogValues) => void
}

/** A version of a dog, with its ETag. */
export type Version = { dog: Dog; etag: string }

/** The dogs that match the query, page by page. While they load, those of the previous query. */
export function useDogs(query: ListQuery) {
  const { me } = useSession()
  return useInfiniteQuery({
    queryKey: ["dogs", query, query.mine && me?.id],
    queryFn: async ({ pageParam: cursor, signal }) => {
      const params = { query: { ...query, limit: PAGE_SIZE, cursor } }
      return (await unwrap(api.GET("/api/v1/dogs", { params, signal }))).body
    },
    initialPageParam: undefined as string | undefined,
    getNextPageParam: ({ page }) => page.next,
    select: uniqueDogs,
    placeholderData: keepPreviousData,
    enabled: !query.mine || Boolean(me),
  })
}

/** The current version of a dog. It is not refetched while a form edits it. */
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
    mutationFn: (values: DogValues) => toVersion(api.POST("/api/v1/dogs", { body: toBody(values) })),
    onMutate,
    onSuccess: (added, values) => {
      onSuccess?.(added, values)
      refetchLists(client)
    },
  })
}

/** The current version of a dog after an attempt to save it. */
type Outcome = Version & { isSaved: boolean }

/** Save a dog if its version is still current. Otherwise nothing is written, and the newer version is returned. */
export function useSaveDog({ dog: { id }, etag }: Version, { onMutate, onSuccess }: Handlers<Outcome>) {
  const client = useQueryClient()
  return useMutation({
    mutationFn: async (values: DogValues): Promise<Outcome> => {
      const params = { path: { dog_id: id }, header: { "If-Match": etag } }
      try {
        const saved = await toVersion(api.PUT("/api/v1/dogs/{dog_id}", { params, body: toBody(values) }))
        return { ...saved, isSaved: true }
      } catch (error) {
        if (!(error instanceof ApiError && error.status === 412)) throw error
        return { ...(await readVersion(id)), isSaved: false }
      }
    },
    onMutate,
    onSuccess: (outcome, values) => {
      onSuccess?.(outcome, values)
      changeLists(client, (pages) => replaceDog(pages, outcome.dog))
    },
    onError: ({ status }) => {
      if (status === 404) changeLists(client, (pages) => removeDog(pages, id))
    },
  })
}

/** Delete a dog. `onDeleted` receives its last version, or null if it was already deleted. */
export function useDeleteDog(onDeleted: (dog: Dog | null) => void) {
  const client = useQueryClient()
  return useMutation({
    mutationFn: async ({ id }: Dog) => {
      try {
        const params = { path: { dog_id: id } }
        return (await unwrap(api.DELETE("/api/v1/dogs/{dog_id}", { params }))).body.data
      } catch (error) {
        if (!(error instanceof ApiError && error.status === 404)) throw error
        return null
      }
    },
    onSuccess: (deleted, { id }) => {
      onDeleted(deleted)
      changeLists(client, (pages) => removeDog(pages, id))
    },
  })
}

function readVersion(id: number, signal?: AbortSignal): Promise<Version> {
  return toVersion(api.GET("/api/v1/dogs/{dog_id}", { params: { path: { dog_id: id } }, signal }))
}

async function toVersion(call: Parameters<typeof unwrap<{ data: Dog }>>[0]): Promise<Version> {
  const { body, response } = await unwrap(call)
  // "*" matches any version. The API always sends an ETag.
  return { dog: body.data, etag: response.headers.get("ETag") ?? "*" }
}

function toBody({ name, breed, owner }: DogValues) {
  return owner.trim() ? { name, breed, owner } : { name, breed }
}

/** Update the cached lists immediately, then refetch them, since the dog may have moved. */
function changeLists(client: QueryClient, change: (pages: Pages) => Pages): void {
  client.setQueriesData<Pages>({ queryKey: ["dogs"] }, (pages) => pages && change(pages))
  refetchLists(client)
}

function refetchLists(client: QueryClient): void {
  void client.invalidateQueries({ queryKey: ["dogs"] })
}
