import { expect, test } from "vitest"
import { loginPath, safeNext } from "./next-path"

test("the login page leads back to where one was", () => {
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
])("%j, which is no path of this site, leads to the first page", (next) => {
  expect(safeNext(next)).toBe("/")
})
