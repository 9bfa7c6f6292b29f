import { expect, test } from "vitest"
import { differences, merge } from "./merge"

const base = { name: "Rex", breed: "Poodle", owner: "Anna" }

test("lists the fields that differ", () => {
  expect(differences(base, base)).toEqual([])
  expect(differences(base, { name: "Max", breed: "Poodle", owner: "anna" })).toEqual(["name", "owner"])
})

test("ignores surrounding spaces", () => {
  expect(differences(base, { ...base, name: " Rex " })).toEqual([])
})

test("keeps changes of different fields", () => {
  expect(merge(base, { ...base, breed: "Puli" }, { ...base, name: "Max" })).toEqual({
    name: "Max",
    breed: "Puli",
    owner: "Anna",
  })
})

test("prefers mine if both changed a field", () => {
  expect(merge(base, { ...base, name: "Moritz" }, { ...base, name: "Max" })).toEqual({ ...base, name: "Max" })
})

test("keeps their changes of fields that I did not change", () => {
  const theirs = { name: "Moritz", breed: "Puli", owner: "Ben" }
  expect(merge(base, theirs, base)).toEqual(theirs)
})

test("treats an emptied field as a change", () => {
  expect(merge(base, { ...base, owner: "Ben" }, { ...base, owner: "" })).toEqual({ ...base, owner: "" })
})

test("returns only editable fields", () => {
  const row = { id: 1, user_id: 1, created_at: "2026-11-22T17:55:09Z", ...base }
  expect(merge(row, row, base)).toEqual(base)
})
