import type { InfiniteData } from "@tanstack/react-query"
import type { Dog } from "../api/types"

/** A page of the list, as returned by the API. */
export type Page = { data: Dog[]; page: { next: string | null } }

export type Pages = InfiniteData<Page, string | undefined>

/** Return the dogs of all pages. A dog that moved between two reads is on two pages; the later one is newer. */
export function uniqueDogs({ pages }: Pick<Pages, "pages">): Dog[] {
  const dogs = pages.flatMap(({ data }) => data)
  const latest = new Map(dogs.map((dog) => [dog.id, dog]))
  return dogs.filter((dog) => latest.get(dog.id) === dog)
}

/** Return the pages with a dog replaced by its newer version. */
export function replaceDog(pages: Pages, newer: Dog): Pages {
  return mapDogs(pages, (dogs) => dogs.map((dog) => (dog.id === newer.id ? newer : dog)))
}

export function removeDog(pages: Pages, id: number): Pages {
  return mapDogs(pages, (dogs) => dogs.filter((dog) => dog.id !== id))
}

function mapDogs(pages: Pages, change: (dogs: Dog[]) => Dog[]): Pages {
  return { ...pages, pages: pages.pages.map((page) => ({ ...page, data: change(page.data) })) }
}
