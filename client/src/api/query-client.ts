import { MutationCache, QueryCache, QueryClient } from "@tanstack/react-query"
import type { ApiError } from "./errors"

// All our calls throw an `ApiError`, so this is the default error type of hooks.
declare module "@tanstack/react-query" {
  // eslint-disable-next-line @typescript-eslint/consistent-type-definitions -- merged with the interface of TanStack Query
  interface Register {
    defaultError: ApiError
  }
}

/** Return the query client. `onUnauthorized` is called on each 401. */
export function createQueryClient(onUnauthorized: (client: QueryClient) => void): QueryClient {
  const onError = (error: ApiError) => {
    if (error.status === 401) onUnauthorized(client)
  }
  const client = new QueryClient({
    queryCache: new QueryCache({ onError }),
    mutationCache: new MutationCache({ onError }),
    defaultOptions: {
      queries: { retry: shouldRetry, retryDelay: retryDelayMs },
      // A write without a connection fails immediately, so that its form can show the error.
      mutations: { networkMode: "always" },
    },
  })
  return client
}

/** Return whether to retry a read. Without a connection, TanStack Query waits until it is restored. */
export function shouldRetry(failures: number, error: ApiError): boolean {
  if (error.isOffline) return true
  if (error.status === 503) return failures < 5
  return error.status >= 500 && failures < 2
}

/** Return the delay before a retry in milliseconds. */
export function retryDelayMs(failures: number, error: ApiError): number {
  return error.retryAfter ? error.retryAfter * 1000 : Math.min(1000 * 2 ** failures, 15_000)
}
