import type { Dog } from "../api/types"

export const FIELDS = ["name", "breed", "owner"] as const

export type Field = (typeof FIELDS)[number]

/** The fields that a user can edit. An empty owner means the user. */
export type DogValues = Pick<Dog, Field>

/** Return the fields in which two versions of a dog differ. Surrounding spaces are ignored, as the API strips them. */
export function differences(one: DogValues, other: DogValues): Field[] {
  return FIELDS.filter((field) => one[field].trim() !== other[field].trim())
}

/** Apply my changes of `base` to theirs (a three-way merge). If both changed a field, mine wins. */
export function merge(base: DogValues, theirs: DogValues, mine: DogValues): DogValues {
  const { name, breed, owner } = theirs
  const changes = differences(base, mine).map((field) => [field, mine[field]])
  return { name, breed, owner, ...Object.fromEntries(changes) } as DogValues
}
