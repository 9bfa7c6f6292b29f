import type { Dog } from "../api/types"

export const FIELDS = ["name", "breed", "owner"] as const

export type Field = (typeof FIELDS)[number]

/** What one may write of a dog. An empty owner stands for oneself. */
export type DogValues = Pick<Dog, Field>

/** The fields in which two versions of a dog differ. Spaces around a text do not count: the API drops them. */
export function differences(one: DogValues, other: DogValues): Field[] {
  return FIELDS.filter((field) => one[field].trim() !== other[field].trim())
}

/** My changes of `base` on top of theirs. Where both have changed a field, it is as in mine. */
export function merge(base: DogValues, theirs: DogValues, mine: DogValues): DogValues {
  const { name, breed, owner } = theirs
  const changes = differences(base, mine).map((field) => [field, mine[field]])
  return { name, breed, owner, ...Object.fromEntries(changes) } as DogValues
}
