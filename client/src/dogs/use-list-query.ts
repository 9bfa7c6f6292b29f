import { useSearchParams } from "react-router"
import { type ListQuery, readListQuery, writeListQuery } from "./list-query"

/** The query in the URL, and a function to change it. */
export function useListQuery() {
  const [params, setParams] = useSearchParams()
  const query = readListQuery(params)
  // Typing replaces the history entry, so that Back does not stop at each pause.
  const change = (changes: Partial<ListQuery>, { replace = false } = {}) => {
    setParams(writeListQuery({ ...query, ...changes }), { replace })
  }
  return [query, change] as const
}
