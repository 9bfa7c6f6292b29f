import { expect, test } from "vitest"
import { toApiError } from "./errors"

test("reads message, fields and Retry-After of an error response", () => {
  const body = {
    data: {},
    status: { code: 429, message: "Too many attempts" },
    error: { type: "/errors/too-many-requests", fields: { email: ["Wait."] }, request_id: "1" },
  }
  expect(toApiError(429, body, "42")).toMatchObject({
    status: 429,
    message: "Too many attempts",
    type: "/errors/too-many-requests",
    fields: { email: ["Wait."] },
    retryAfter: 42,
  })
})

test.each([null, "<h1>Bad Gateway</h1>", {}, { status: null }])(
  "has a default message for %j, which is not from the API",
  (body) => {
    expect(toApiError(502, body, null)).toMatchObject({
      status: 502,
      message: "Something went wrong. Try again in a moment.",
      fields: {},
      retryAfter: undefined,
    })
  },
)
