import createClient from "openapi-fetch"
import { reportConnectionLost } from "./connection"
import { offlineError, toApiError } from "./errors"
import type { paths } from "./schema"
import { API_URL } from "./url"

/** The API client, typed by the OpenAPI document. Pass each call to `unwrap`. */
export const api = createClient<paths>({ baseUrl: API_URL, credentials: "include" })

type Outcome<Body> = { data?: Body; error?: unknown; response: Response }

/** Wait for a call and return its body, and the response for its headers. Throws an `ApiError` on any failure. */
export async function unwrap<Body>(
  call: Promise<Outcome<Body>>,
): Promise<{ body: Body; response: Response }> {
  const { data, error, response } = await call.catch(handleNetworkError)
  if (data === undefined) throw toApiError(response.status, error, response.headers.get("Retry-After"))
  return { body: data, response }
}

function handleNetworkError(reason: unknown): never {
  // TanStack Query aborts calls whose result is no longer needed. That is not a failure.
  if (reason instanceof DOMException && reason.name === "AbortError") throw reason
  reportConnectionLost()
  throw offlineError()
}
