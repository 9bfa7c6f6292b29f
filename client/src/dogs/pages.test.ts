import { expect, test } from "vitest"
import type { Dog } from "../api/types"
import { dogsOf, type Pages, withDog, withoutDog } from "./pages"

const dog = (id: number, name = "Rex"): Dog => ({
  id,
  name,
  breed: "Poodle",
  owner: "Anna",
  created_at: "2026-11-22T17:55:09Z",
  user_id: 1,
})

const pagesOf = (...pages: Dog[][]): Pages => ({
  pages: pages.map((data) => ({ data, page: { next: null } })),
  pageParams: pages.map(() => undefined),
})

test("lists the dogs of all pages in their order", () => {
  expect(dogsOf(pagesOf([dog(3), dog(1)], [dog(2)])).map(({ id }) => id)).toEqual([3, 1, 2])
})

test("a dog that moved to a later page is listed there alone", () => {
  const dogs = dogsOf(pagesOf([dog(1, "Ada"), dog(2)], [dog(3), dog(1, "Zoe")]))
  expect(dogs.map(({ id, name }) => [id, name])).toEqual([
    [2, "Rex"],
    [3, "Rex"],
    [1, "Zoe"],
  ])
})

test("puts a newer version in its place, on whatever page", () => {
  const pages = withDog(pagesOf([dog(1)], [dog(2), dog(3)]), dog(2, "Max"))
  expect(dogsOf(pages).map(({ name }) => name)).toEqual(["Rex", "Max", "Rex"])
})

test("takes a dog out, and keeps the cursors", () => {
  const pages = withoutDog(pagesOf([dog(1)], [dog(2)]), 1)
  expect(pages.pages).toEqual([
    { data: [], page: { next: null } },
    { data: [dog(2)], page: { next: null } },
  ])
})
