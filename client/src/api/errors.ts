import type { components } from "./schema"

export type FieldMessages = Record<string, string[]>

/** What an `ApiError` knows. `status` is 0 where no answer came; `retryAfter` is in seconds. */
type Failure = { status: number; message: string; type?: string; fields?: FieldMessages; retryAfter?: number }

/** Every call that fails throws this, whether the server refused it or could not be reached. */
export class ApiError extends Error {
  readonly status: number
  readonly type: string | undefined
  readonly fields: FieldMessages
  readonly retryAfter: number | undefined
  readonly thrownAt = Date.now()

  constructor({ status, message, type, fields = {}, retryAfter }: Failure) {
    super(message)
    this.name = "ApiError"
    this.status = status
    this.type = type
    this.fields = fields
    this.retryAfter = retryAfter
  }

  /** Whether the server was never reached. */
  get isOffline() {
    return this.status === 0
  }
}

export function offlineError(): ApiError {
  return new ApiError({ status: 0, message: "No connection. Nothing is lost: try again in a moment." })
}

/** The error for an answer. Its body is read with care: it may come from a proxy and not from the API. */
export function errorOf(status: number, body: unknown, retryAfter: string | null): ApiError {
  const envelope = (typeof body === "object" ? body : null) as Partial<
    components["schemas"]["Failure"]
  > | null
  return new ApiError({
    status,
    message: envelope?.status?.message ?? "Something went wrong. Try again in a moment.",
    type: envelope?.error?.type,
    fields: envelope?.error?.fields,
    retryAfter: Number(retryAfter) || undefined,
  })
}
