import { Suspense, useLayoutEffect, useRef } from "react"
import { NavigationType, Outlet, useLocation, useNavigationType } from "react-router"
import { API_URL } from "../api/url"
import { PageLoader } from "../shared/page-loader"
import { ConnectionBanner } from "./connection-banner"
import { ErrorBoundary } from "./error-boundary"
import { Header } from "./header"

/** The frame of every page. index.html holds a copy of it as the first view: change both. */
export function Shell() {
  const { pathname } = useLocation()
  const navigation = useNavigationType()
  const shown = useRef(pathname)
  useLayoutEffect(() => {
    if (pathname === shown.current) return
    shown.current = pathname
    // A new page begins at its top. On the way back, the browser knows better where one was.
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
