import { useIsOnline } from "../api/connection"
import classes from "./connection-banner.module.css"

/** A banner shown while there is no connection. */
export function ConnectionBanner() {
  const isOnline = useIsOnline()
  // Always rendered, since screen readers only announce changes of an existing live region.
  return (
    <div role="status" className={classes.container}>
      {!isOnline && <p className={classes.banner}>No connection. Trying again…</p>}
    </div>
  )
}
