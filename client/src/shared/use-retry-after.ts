import { useEffect, useState } from "react"
import type { ApiError } from "../api/errors"

/** The remaining seconds of an error's Retry-After, counting down to 0. */
export function useRetryAfter(error: ApiError | null): number {
  const { retryAfter = 0, thrownAt = 0 } = error ?? {}
  const [now, setNow] = useState(thrownAt)
  const left = Math.ceil((thrownAt - Math.max(now, thrownAt)) / 1000) + retryAfter
  const isOver = left <= 0
  useEffect(() => {
    if (isOver) return
    const timer = setInterval(() => {
      setNow(Date.now())
    }, 1000)
    return () => {
      clearInterval(timer)
    }
  }, [isOver])
  return Math.max(left, 0)
}
