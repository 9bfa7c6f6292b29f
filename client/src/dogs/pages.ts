import type { InfiniteData } from "@tanstack/react-query"
import type { Dog } from "../api/types"

/** A page of the list, as the API sends it. */
export type Page = { data: Dog[]; page: { next: string | null } }

export type Pages = InfiniteData<Page, string | undefined>

/** The dogs of all pages, each once: who moved while we read on stands on two pages, and the later one is newer. */
export function dogsOf({ pages }: Pick<Pages, "pages">): Dog[] {
  const dogs = pages.flatMap(({ data }) => data)
  const latest = new Map(dogs.map((dog) => [dog.id, dog]))
  return dogs.filter((dog) => latest.get(dog.id) === dog)
}

/** The pages with a newer version of a dog in its place. */
export function withDog(pages: Pages, newer: Dog): Pages {
  return changed(pages, (dogs) => dogs.map((dog) => (dog.id === newer.id ? newer : dog)))
}

export function withoutDog(pages: Pages, id: number): Pages {
  return changed(pages, (dogs) => dogs.filter((dog) => dog.id !== id))
}

function changed(pages: Pages, change: (dogs: Dog[]) => Dog[]): Pages {
  return { ...pages, pages: pages.pages.map((page) => ({ ...page, data: change(page.data) })) }
}
