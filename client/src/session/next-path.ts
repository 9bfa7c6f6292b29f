/** Why somebody is sent to the login page: a page needs a login, or the session has ended. */
export type LoginReason = "required" | "ended"

type Place = { pathname: string; search: string }

/** The login page that leads back to this place. */
export function loginPath({ pathname, search }: Place): string {
  return `/login?next=${encodeURIComponent(pathname + search)}`
}

/** Where to go after the login. A `next` that leads to another site is not followed (OWASP, Unvalidated Redirects). */
export function safeNext(next: string | null): string {
  const here = window.location.origin
  if (!next?.startsWith("/") || !URL.canParse(next, here)) return "/"
  const { origin, pathname, search } = new URL(next, here)
  // "/.//example.com" is of this site, but its path alone, "//example.com", is not.
  return origin === here && !pathname.startsWith("//") ? pathname + search : "/"
}
