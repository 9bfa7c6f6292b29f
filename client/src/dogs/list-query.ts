import type { operations } from "../api/schema"

type ApiQuery = NonNullable<operations["getDogList"]["parameters"]["query"]>

export type Sort = NonNullable<ApiQuery["sort"]>

/** Filters and sorting of the list. The names are those of the API, also in the URL of the page. */
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

/** Read the query from the URL. Invalid values are ignored. */
export function readListQuery(params: URLSearchParams): ListQuery {
  const text = (name: string) => {
    const value = params.get(name)?.trim()
    return value === "" ? undefined : value
  }
  const sort = SORTS.find(({ value }) => value === params.get("sort"))?.value
  return {
    q: text("q"),
    breed: text("breed"),
    owner: text("owner"),
    mine: params.get("mine") === "true" || undefined,
    sort: sort ?? DEFAULT_SORT,
  }
}

/** Return the query string, without defaults. */
export function writeListQuery({ sort, ...filters }: ListQuery): string {
  const all = { ...filters, sort: sort === DEFAULT_SORT ? undefined : sort }
  const nonEmpty = Object.entries(all).filter(([, value]) => value)
  return new URLSearchParams(nonEmpty.map(([name, value]) => [name, String(value)])).toString()
}

/** Return whether any filter is set. */
export function hasFilters({ q, breed, owner, mine }: ListQuery): boolean {
  return Boolean(q ?? breed ?? owner ?? mine)
}
