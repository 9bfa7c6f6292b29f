import createClient from "openapi-fetch"
import { connectionLost } from "./connection"
import { errorOf, offlineError } from "./errors"
import type { paths } from "./schema"
import { API_URL } from "./url"

/** The API, with the types of its OpenAPI document. Pass each call through `answer`. */
export const api = createClient<paths>({ baseUrl: API_URL, credentials: "include" })

type Outcome<Body> = { data?: Body; error?: unknown; response: Response }

/** Wait for a call: its body, and the response for its headers. Throws an `ApiError` if it fails in any way. */
export async function answer<Body>(
  call: Promise<Outcome<Body>>,
): Promise<{ body: Body; response: Response }> {
  const { data, error, response } = await call.catch(giveUp)
  if (data === undefined) throw errorOf(response.status, error, response.headers.get("Retry-After"))
  return { body: data, response }
}

function giveUp(reason: unknown): never {
  // TanStack Query stops calls that nobody waits for any more. That is no failure.
  if (reason instanceof DOMException && reason.name === "AbortError") throw reason
  connectionLost()
  throw offlineError()
}
