import { expect, test } from "vitest"
import type { Dog } from "../api/types"
import { type Pages, removeDog, replaceDog, uniqueDogs } from "./pages"

const dog = (id: number, name = "Rex"): Dog => ({
  id,
  name,
  breed: "Poodle",
  owner: "Anna",
  created_at: "2026-11-22T17:55:09Z",
  user_id: 1,
})

const makePages = (...pages: Dog[][]): Pages => ({
  pages: pages.map((data) => ({ data, page: { next: null } })),
  pageParams: pages.map(() => undefined),
})

test("lists the dogs of all pages in order", () => {
  expect(uniqueDogs(makePages([dog(3), dog(1)], [dog(2)])).map(({ id }) => id)).toEqual([3, 1, 2])
})

test("a dog that moved to a later page is listed only there", () => {
  const dogs = uniqueDogs(makePages([dog(1, "Ada"), dog(2)], [dog(3), dog(1, "Zoe")]))
  expect(dogs.map(({ id, name }) => [id, name])).toEqual([
    [2, "Rex"],
    [3, "Rex"],
    [1, "Zoe"],
  ])
})

test("replaces a dog on any page", () => {
  const pages = replaceDog(makePages([dog(1)], [dog(2), dog(3)]), dog(2, "Max"))
  expect(uniqueDogs(pages).map(({ name }) => name)).toEqual(["Rex", "Max", "Rex"])
})

test("removes a dog and keeps the cursors", () => {
  const pages = removeDog(makePages([dog(1)], [dog(2)]), 1)
  expect(pages.pages).toEqual([
    { data: [], page: { next: null } },
    { data: [dog(2)], page: { next: null } },
  ])
})
