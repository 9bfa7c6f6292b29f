import { onlineManager } from "@tanstack/react-query"
import { useSyncExternalStore } from "react"
import { API_URL } from "./url"

const LONGEST_WAIT = 15_000

/** Whether the API can be reached. While it can't, TanStack Query holds back all reads, and then goes on by itself. */
export function useIsOnline(): boolean {
  return useSyncExternalStore(
    (onChange) => onlineManager.subscribe(onChange),
    () => onlineManager.isOnline(),
  )
}

/** Call this when a request got no answer. From then on the API is asked for a sign of life until it gives one. */
export function connectionLost(): void {
  if (!onlineManager.isOnline()) return
  onlineManager.setOnline(false)
  waitForAnswer(1000)
}

/** Wait until the API answers again. */
export function connectionBack(): Promise<void> {
  return new Promise((resolve) => {
    const stop = onlineManager.subscribe((isOnline) => {
      if (!isOnline) return
      stop()
      resolve()
    })
  })
}

function waitForAnswer(wait: number): void {
  setTimeout(() => {
    fetch(`${API_URL}/health/live`).then(
      () => {
        onlineManager.setOnline(true)
      },
      () => {
        waitForAnswer(Math.min(wait * 2, LONGEST_WAIT))
      },
    )
  }, wait)
}
