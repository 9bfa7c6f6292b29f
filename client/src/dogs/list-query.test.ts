import { expect, test } from "vitest"
import { hasFilters, readListQuery, SORTS, writeListQuery } from "./list-query"

const read = (search: string) => readListQuery(new URLSearchParams(search))

test("an empty query lists all dogs, newest first", () => {
  expect(read("")).toEqual({ sort: "-created_at" })
  expect(hasFilters(read(""))).toBe(false)
})

test.each(["", "q=gr%C3%A4+%26+co&breed=Poodle&owner=Anna&mine=true&sort=name", "breed=%F0%9F%90%95"])(
  "reads and writes %j without change",
  (search) => {
    expect(writeListQuery(read(search))).toBe(search)
  },
)

test.each(SORTS.map(({ value }) => value))("reads back the sort order %j", (sort) => {
  expect(read(writeListQuery({ sort }))).toEqual({ sort })
})

test("ignores invalid values", () => {
  expect(read("q=++&mine=yes&sort=password&page=7")).toEqual({ sort: "-created_at" })
})

test.each(["q=max", "breed=Poodle", "owner=Anna", "mine=true"])("%j is a filter", (search) => {
  expect(hasFilters(read(search))).toBe(true)
})

test("a sort order is not a filter", () => {
  expect(hasFilters(read("sort=name"))).toBe(false)
})
