import { Suspense, useLayoutEffect, useRef } from "react"
import { NavigationType, Outlet, useLocation, useNavigationType } from "react-router"
import { API_URL } from "../api/url"
import { PageLoader } from "../shared/page-loader"
import { ConnectionBanner } from "./connection-banner"
import { ErrorBoundary } from "./error-boundary"
import { Header } from "./header"

/** The layout of every page. index.html has a copy of it for the first paint; keep them in sync. */
export function Shell() {
  const { pathname } = useLocation()
  const navigation = useNavigationType()
  const lastPathname = useRef(pathname)
  useLayoutEffect(() => {
    if (pathname === lastPathname.current) return
    lastPathname.current = pathname
    // Scroll to the top of a new page. On back and forward, the browser restores the position.
    if (navigation !== NavigationType.Pop) window.scrollTo(0, 0)
  }, [pathname, navigation])
  return (
    <>
      <a className="skip-link" href="#main">
        Skip to content
      </a>
      <Header />
      <ConnectionBanner />
      <main className="main" id="main" tabIndex={-1}>
        <Suspense fallback={<PageLoader />}>
          <ErrorBoundary key={pathname}>
            <Outlet />
          </ErrorBoundary>
        </Suspense>
      </main>
      <footer className="footer">
        <a className="footer-link" href={`${API_URL}/docs`}>
          API documentation
        </a>
      </footer>
    </>
  )
}
