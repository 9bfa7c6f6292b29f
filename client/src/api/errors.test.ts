import { expect, test } from "vitest"
import { errorOf } from "./errors"

test("takes the message, the fields and the wait from a failure", () => {
  const body = {
    data: {},
    status: { code: 429, message: "Too many attempts" },
    error: { type: "/errors/too-many-requests", fields: { email: ["Wait."] }, request_id: "1" },
  }
  expect(errorOf(429, body, "42")).toMatchObject({
    status: 429,
    message: "Too many attempts",
    type: "/errors/too-many-requests",
    fields: { email: ["Wait."] },
    retryAfter: 42,
  })
})

test.each([null, "<h1>Bad Gateway</h1>", {}, { status: null }])(
  "has a message for %j, which the API did not send",
  (body) => {
    expect(errorOf(502, body, null)).toMatchObject({
      status: 502,
      message: "Something went wrong. Try again in a moment.",
      fields: {},
      retryAfter: undefined,
    })
  },
)
