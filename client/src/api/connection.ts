import { onlineManager } from "@tanstack/react-query"
import { useSyncExternalStore } from "react"
import { API_URL } from "./url"

const MAX_DELAY_MS = 15_000

/** Return whether the API is reachable. While it is not, TanStack Query pauses all reads, and resumes them later. */
export function useIsOnline(): boolean {
  return useSyncExternalStore(
    (onChange) => onlineManager.subscribe(onChange),
    () => onlineManager.isOnline(),
  )
}

/** Report that a request got no response. The health check is then polled until it succeeds. */
export function reportConnectionLost(): void {
  if (!onlineManager.isOnline()) return
  onlineManager.setOnline(false)
  pollHealth(1000)
}

/** Wait until the API is reachable again. */
export function waitForConnection(): Promise<void> {
  return new Promise((resolve) => {
    const stop = onlineManager.subscribe((isOnline) => {
      if (!isOnline) return
      stop()
      resolve()
    })
  })
}

function pollHealth(delayMs: number): void {
  setTimeout(() => {
    fetch(`${API_URL}/health/live`).then(
      () => {
        onlineManager.setOnline(true)
      },
      () => {
        pollHealth(Math.min(delayMs * 2, MAX_DELAY_MS))
      },
    )
  }, delayMs)
}
