import type { components } from "./schema"

export type FieldMessages = Record<string, string[]>

/** The fields of an `ApiError`. `status` is 0 if there was no response; `retryAfter` is in seconds. */
type ApiErrorFields = {
  status: number
  message: string
  type?: string
  fields?: FieldMessages
  retryAfter?: number
}

/** Thrown by every failed call, whether the server refused it or could not be reached. */
export class ApiError extends Error {
  readonly status: number
  readonly type: string | undefined
  readonly fields: FieldMessages
  readonly retryAfter: number | undefined
  readonly thrownAt = Date.now()

  constructor({ status, message, type, fields = {}, retryAfter }: ApiErrorFields) {
    super(message)
    this.name = "ApiError"
    this.status = status
    this.type = type
    this.fields = fields
    this.retryAfter = retryAfter
  }

  /** Whether the server could not be reached. */
  get isOffline() {
    return this.status === 0
  }
}

export function offlineError(): ApiError {
  return new ApiError({ status: 0, message: "No connection. Nothing is lost: try again in a moment." })
}

/** Return the error of a response. The body may have any shape, since it may come from a proxy. */
export function toApiError(status: number, body: unknown, retryAfter: string | null): ApiError {
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
