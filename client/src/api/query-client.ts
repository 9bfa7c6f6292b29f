import { MutationCache, QueryCache, QueryClient } from "@tanstack/react-query"
import type { ApiError } from "./errors"

// All our calls throw an `ApiError`, so hooks need not be told.
declare module "@tanstack/react-query" {
  // eslint-disable-next-line @typescript-eslint/consistent-type-definitions -- it is merged into TanStack Query's own
  interface Register {
    defaultError: ApiError
  }
}

/** What is fetched and kept. `onUnauthorized` is called for each 401. */
export function createQueryClient(onUnauthorized: (client: QueryClient) => void): QueryClient {
  const onError = (error: ApiError) => {
    if (error.status === 401) onUnauthorized(client)
  }
  const client = new QueryClient({
    queryCache: new QueryCache({ onError }),
    mutationCache: new MutationCache({ onError }),
    defaultOptions: {
      queries: { retry: isWorthRetrying, retryDelay: waitBeforeRetry },
      // A write without a connection fails at once, so that its form can say so.
      mutations: { networkMode: "always" },
    },
  })
  return client
}

/** Whether to read once more after so many failures. Without a connection that is when it is back. */
export function isWorthRetrying(failures: number, error: ApiError): boolean {
  if (error.isOffline) return true
  if (error.status === 503) return failures < 5
  return error.status >= 500 && failures < 2
}

/** How long to wait before reading once more, in milliseconds. */
export function waitBeforeRetry(failures: number, error: ApiError): number {
  return error.retryAfter ? error.retryAfter * 1000 : Math.min(1000 * 2 ** failures, 15_000)
}
