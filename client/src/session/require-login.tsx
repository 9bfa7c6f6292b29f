import type { ReactNode } from "react"
import { Navigate, useLocation } from "react-router"
import { LoadError } from "../shared/load-error"
import { PageLoader } from "../shared/page-loader"
import { loginPath, type LoginReason } from "./next-path"
import { useSession } from "./session"

/** Shows its children to who is logged in, and sends others to log in and come back. */
export function RequireLogin({ children }: { children: ReactNode }) {
  const { me, error, refetch } = useSession()
  const location = useLocation()
  if (me) return children
  if (error) return <LoadError error={error} onRetry={() => void refetch()} />
  // The address runs ahead of the page while the next page loads. Who leaves anyway needs no login.
  const isLeaving = window.location.pathname !== location.pathname
  if (me === undefined || isLeaving) return <PageLoader />
  return <Navigate to={loginPath(location)} state={"required" satisfies LoginReason} replace />
}
