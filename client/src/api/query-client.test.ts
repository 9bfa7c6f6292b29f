import { expect, test } from "vitest"
import { ApiError, offlineError } from "./errors"
import { retryDelayMs, shouldRetry } from "./query-client"

const failure = (status: number, retryAfter?: number) => new ApiError({ status, message: "", retryAfter })

test("a read without a connection is always retried", () => {
  expect(shouldRetry(1000, offlineError())).toBe(true)
})

test("a client error is not retried", () => {
  expect(shouldRetry(0, failure(404))).toBe(false)
})

test("a 503 is retried after Retry-After, a limited number of times", () => {
  expect(shouldRetry(4, failure(503, 7))).toBe(true)
  expect(retryDelayMs(4, failure(503, 7))).toBe(7000)
  expect(shouldRetry(5, failure(503, 7))).toBe(false)
})

test("delays grow exponentially up to 15 seconds", () => {
  expect([0, 1, 2, 10].map((failures) => retryDelayMs(failures, failure(500)))).toEqual([
    1000, 2000, 4000, 15_000,
  ])
})
