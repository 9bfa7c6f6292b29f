import { expect, test } from "vitest"
import { loginPath, safeNext } from "./next-path"

test("the login page redirects back", () => {
  const path = loginPath({ pathname: "/", search: "?q=max&sort=-name" })
  const next = new URL(path, window.location.origin).searchParams.get("next")
  expect(safeNext(next)).toBe("/?q=max&sort=-name")
})

test.each([
  null,
  "",
  "profile",
  "https://example.com/",
  "//example.com/",
  "/\\example.com/",
  "/\t/example.com/",
  "/.//example.com/",
  "javascript:alert(1)",
])("%j is not a path of this site and becomes /", (next) => {
  expect(safeNext(next)).toBe("/")
})
