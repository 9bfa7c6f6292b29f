/** Why the user is redirected to the login page: a page requires it, or the session has expired. */
export type LoginReason = "required" | "expired"

/** Return the URL of the login page that redirects back to this location. */
export function loginPath({ pathname, search }: Pick<Location, "pathname" | "search">): string {
  return `/login?next=${encodeURIComponent(pathname + search)}`
}

/** Return where to go after the login. Only paths of this site are allowed (OWASP, Unvalidated Redirects). */
export function safeNext(next: string | null): string {
  const here = window.location.origin
  if (!next?.startsWith("/") || !URL.canParse(next, here)) return "/"
  const { origin, pathname, search } = new URL(next, here)
  // "/.//example.com" is on this site, but its normalized path, "//example.com", is not.
  return origin === here && !pathname.startsWith("//") ? pathname + search : "/"
}
