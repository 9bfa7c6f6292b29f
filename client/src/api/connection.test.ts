import { onlineManager } from "@tanstack/react-query"
import { afterEach, expect, test, vi } from "vitest"
import { reportConnectionLost } from "./connection"

afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

test("a lost connection is restored by a successful health check", async () => {
  vi.useFakeTimers()
  const fetch = vi
    .fn()
    .mockRejectedValueOnce(new TypeError("Failed to fetch"))
    .mockResolvedValueOnce(new Response())
  vi.stubGlobal("fetch", fetch)

  reportConnectionLost()
  reportConnectionLost() // by another call: there is only one health check
  expect(onlineManager.isOnline()).toBe(false)
  await vi.advanceTimersByTimeAsync(1000)
  expect(fetch).toHaveBeenCalledTimes(1)
  expect(onlineManager.isOnline()).toBe(false)
  await vi.advanceTimersByTimeAsync(2000)
  expect(fetch).toHaveBeenCalledTimes(2)
  expect(onlineManager.isOnline()).toBe(true)
})
