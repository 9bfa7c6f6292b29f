import { expect, test } from "vitest"
import { ApiError, offlineError } from "./errors"
import { isWorthRetrying, waitBeforeRetry } from "./query-client"

const failure = (status: number, retryAfter?: number) => new ApiError({ status, message: "", retryAfter })

test("without a connection a read never gives up", () => {
  expect(isWorthRetrying(1000, offlineError())).toBe(true)
})

test("a refusal is final", () => {
  expect(isWorthRetrying(0, failure(404))).toBe(false)
})

test("a busy server is asked again when it says so, but not for ever", () => {
  expect(isWorthRetrying(4, failure(503, 7))).toBe(true)
  expect(waitBeforeRetry(4, failure(503, 7))).toBe(7000)
  expect(isWorthRetrying(5, failure(503, 7))).toBe(false)
})

test("waits grow, up to 15 seconds", () => {
  expect([0, 1, 2, 10].map((failures) => waitBeforeRetry(failures, failure(500)))).toEqual([
    1000, 2000, 4000, 15_000,
  ])
})
