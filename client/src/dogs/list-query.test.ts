import { expect, test } from "vitest"
import { hasFilters, readListQuery, SORTS, writeListQuery } from "./list-query"

const read = (address: string) => readListQuery(new URLSearchParams(address))

test("a bare address asks for all dogs, the newest first", () => {
  expect(read("")).toEqual({ sort: "-created_at" })
  expect(hasFilters(read(""))).toBe(false)
})

test.each(["", "q=gr%C3%A4+%26+co&breed=Poodle&owner=Anna&mine=true&sort=name", "breed=%F0%9F%90%95"])(
  "reads and writes %j alike",
  (address) => {
    expect(writeListQuery(read(address))).toBe(address)
  },
)

test.each(SORTS.map(({ value }) => value))("the address keeps the order %j", (sort) => {
  expect(read(writeListQuery({ sort }))).toEqual({ sort })
})

test("leaves out what makes no sense", () => {
  expect(read("q=++&mine=yes&sort=password&page=7")).toEqual({ sort: "-created_at" })
})

test.each(["q=max", "breed=Poodle", "owner=Anna", "mine=true"])("%j asks for some dogs only", (address) => {
  expect(hasFilters(read(address))).toBe(true)
})

test("an order is no filter", () => {
  expect(hasFilters(read("sort=name"))).toBe(false)
})
