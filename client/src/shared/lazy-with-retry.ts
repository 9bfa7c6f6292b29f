import { type ComponentType, lazy } from "react"
import { reportConnectionLost, waitForConnection } from "../api/connection"

/**
 * A component whose code is loaded on first render. Without a connection, loading is retried once it is restored.
 *
 * If that fails too, as after an upgrade of the server, the nearest `ErrorBoundary` shows the error.
 */
export function lazyWithRetry<Props>(load: () => Promise<{ default: ComponentType<Props> }>) {
  return lazy(() =>
    load().catch(async () => {
      reportConnectionLost()
      await waitForConnection()
      return load()
    }),
  )
}
