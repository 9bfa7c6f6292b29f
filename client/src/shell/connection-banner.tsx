import { useIsOnline } from "../api/connection"
import classes from "./connection-banner.module.css"

/** Says that there is no connection, for as long as there is none. */
export function ConnectionBanner() {
  const isOnline = useIsOnline()
  // The element is always there, since screen readers announce only what changes in it.
  return (
    <div role="status" className={classes.place}>
      {!isOnline && <p className={classes.banner}>No connection. Trying again…</p>}
    </div>
  )
}
