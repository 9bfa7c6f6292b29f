import type { operations } from "../api/schema"

type ApiQuery = NonNullable<operations["getDogList"]["parameters"]["query"]>

export type Sort = NonNullable<ApiQuery["sort"]>

/** Which dogs are listed, and in what order. The API's own names, in the page's address too. */
export type ListQuery = Pick<ApiQuery, "q" | "breed" | "owner" | "mine"> & { sort: Sort }

export const SORTS: { value: Sort; label: string }[] = [
  { value: "-created_at", label: "Newest first" },
  { value: "created_at", label: "Oldest first" },
  { value: "name", label: "Name, A to Z" },
  { value: "-name", label: "Name, Z to A" },
  { value: "breed", label: "Breed, A to Z" },
  { value: "-breed", label: "Breed, Z to A" },
  { value: "owner", label: "Owner, A to Z" },
  { value: "-owner", label: "Owner, Z to A" },
]

const DEFAULT_SORT: Sort = "-created_at"

/** What the page's address asks for. What makes no sense is left out. */
export function readListQuery(address: URLSearchParams): ListQuery {
  const text = (name: string) => {
    const value = address.get(name)?.trim()
    return value === "" ? undefined : value
  }
  const sort = SORTS.find(({ value }) => value === address.get("sort"))?.value
  return {
    q: text("q"),
    breed: text("breed"),
    owner: text("owner"),
    mine: address.get("mine") === "true" || undefined,
    sort: sort ?? DEFAULT_SORT,
  }
}

/** The same as text for the address, as short as it can be. */
export function writeListQuery({ sort, ...filters }: ListQuery): string {
  const all = { ...filters, sort: sort === DEFAULT_SORT ? undefined : sort }
  const given = Object.entries(all).filter(([, value]) => value)
  return new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString()
}

/** Whether only some dogs are asked for. */
export function hasFilters({ q, breed, owner, mine }: ListQuery): boolean {
  return Boolean(q ?? breed ?? owner ?? mine)
}
