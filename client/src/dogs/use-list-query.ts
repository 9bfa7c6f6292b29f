import { useSearchParams } from "react-router"
import { type ListQuery, readListQuery, writeListQuery } from "./list-query"

/** What the page's address asks for, and the way to change it. */
export function useListQuery() {
  const [address, setAddress] = useSearchParams()
  const query = readListQuery(address)
  // What is typed in makes no steps for the Back button, or each pause in a word would be one.
  const change = (changes: Partial<ListQuery>, { isTyped = false } = {}) => {
    setAddress(writeListQuery({ ...query, ...changes }), { replace: isTyped })
  }
  return [query, change] as const
}
