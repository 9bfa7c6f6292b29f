import { Suspense } from "react"
import { Link, NavLink } from "react-router"
import { useSession, wasLoggedIn } from "../session/session"
import { lazyWithRetry } from "../shared/lazy-with-retry"
import { ColorSchemeButton } from "./color-scheme-button"
import { ErrorBoundary } from "./error-boundary"
import { UserPicture } from "./user-picture"

const UserMenu = lazyWithRetry(() => import("./user-menu"))

export function Header() {
  return (
    <header className="header">
      <div className="header-row">
        <Link className="brand" to="/">
          <svg className="mark" viewBox="0 0 32 32" aria-hidden="true">
            <path d="M16 3 2.5 14.5 4.6 17 6 15.8V27a2 2 0 0 0 2 2h3v-7a5 5 0 0 1 10 0v7h3a2 2 0 0 0 2-2V15.8l1.4 1.2 2.1-2.5z" />
          </svg>
          Kennel
        </Link>
        <nav className="header-nav" aria-label="Main">
          <NavLink className="header-link" to="/" end>
            Dogs
          </NavLink>
        </nav>
        <div className="header-end">
          <ColorSchemeButton />
          <Account />
        </div>
      </div>
    </header>
  )
}

function Account() {
  const { me } = useSession()
  if (me) {
    const picture = <UserPicture user={me} />
    return (
      <ErrorBoundary fallback={picture}>
        <Suspense fallback={picture}>
          <UserMenu me={me} />
        </Suspense>
      </ErrorBoundary>
    )
  }
  if (me === undefined && wasLoggedIn) return <span className="header-slot header-picture" />
  return (
    <>
      <NavLink className="header-link" to="/login">
        Log in
      </NavLink>
      <Link className="header-button" to="/signup">
        Sign up
      </Link>
    </>
  )
}
