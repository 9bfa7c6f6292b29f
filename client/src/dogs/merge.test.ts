import { expect, test } from "vitest"
import { differences, merge } from "./merge"

const base = { name: "Rex", breed: "Poodle", owner: "Anna" }

test("names the fields that differ", () => {
  expect(differences(base, base)).toEqual([])
  expect(differences(base, { name: "Max", breed: "Poodle", owner: "anna" })).toEqual(["name", "owner"])
})

test("spaces around a text make no difference", () => {
  expect(differences(base, { ...base, name: " Rex " })).toEqual([])
})

test("changes of different fields are both kept", () => {
  expect(merge(base, { ...base, breed: "Puli" }, { ...base, name: "Max" })).toEqual({
    name: "Max",
    breed: "Puli",
    owner: "Anna",
  })
})

test("where both changed a field, mine comes first", () => {
  expect(merge(base, { ...base, name: "Moritz" }, { ...base, name: "Max" })).toEqual({ ...base, name: "Max" })
})

test("what I have not changed never undoes what they have", () => {
  const theirs = { name: "Moritz", breed: "Puli", owner: "Ben" }
  expect(merge(base, theirs, base)).toEqual(theirs)
})

test("an emptied field is a change", () => {
  expect(merge(base, { ...base, owner: "Ben" }, { ...base, owner: "" })).toEqual({ ...base, owner: "" })
})

test("takes nothing along but what can be written", () => {
  const row = { id: 1, user_id: 1, created_at: "2026-11-22T17:55:09Z", ...base }
  expect(merge(row, row, base)).toEqual(base)
})
