import type { ReactNode } from "react"
import { Navigate, useLocation } from "react-router"
import { LoadError } from "../shared/load-error"
import { PageLoader } from "../shared/page-loader"
import { loginPath, type LoginReason } from "./next-path"
import { useSession } from "./session"

/** Render the children if the user is logged in; otherwise redirect to the login page and back. */
export function RequireLogin({ children }: { children: ReactNode }) {
  const { me, error, refetch } = useSession()
  const location = useLocation()
  if (me) return children
  if (error) return <LoadError error={error} onRetry={() => void refetch()} />
  // While the next page loads, the URL has already changed. A user who is leaving needs no login.
  const isLeaving = window.location.pathname !== location.pathname
  if (me === undefined || isLeaving) return <PageLoader />
  return <Navigate to={loginPath(location)} state={"required" satisfies LoginReason} replace />
}
