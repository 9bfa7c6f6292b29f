import { type ComponentType, lazy } from "react"
import { connectionBack, connectionLost } from "../api/connection"

/**
 * A component whose code is loaded when it is first drawn. Without a connection that is as soon as there is one again.
 *
 * If its code can't be loaded then either, the nearest `ErrorBoundary` says so: the server may have a newer version.
 */
export function lazyPart<Props>(load: () => Promise<{ default: ComponentType<Props> }>) {
  return lazy(() =>
    load().catch(async () => {
      connectionLost()
      await connectionBack()
      return load()
    }),
  )
}
