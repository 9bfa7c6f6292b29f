import { Anchor, VisuallyHidden } from "@mantine/core"
import type { Ref } from "react"
import { Link } from "react-router"
import classes from "./dog-list.module.css"
import { hasFilters, type ListQuery, writeListQuery } from "./list-query"

type Props = {
  ref: Ref<HTMLParagraphElement>
  query: ListQuery
  /** How many dogs are shown, or undefined if not yet known. */
  count: number | undefined
  isComplete: boolean
}

/** The number of dogs shown and the filters. Screen readers announce changes. */
export function ListSummary({ ref, query, count, isComplete }: Props) {
  const { q, breed, owner, mine, sort } = query
  const filters = [q && `“${q}”`, breed, owner, mine && "mine only"].filter(Boolean)
  const summary = count === undefined ? "" : [formatCount(count, isComplete), ...filters].join(" · ")
  return (
    <div className={classes.summary}>
      <p role="status" ref={ref} tabIndex={-1}>
        {count === 0 ? <VisuallyHidden>{summary}</VisuallyHidden> : summary}
      </p>
      {count !== 0 && hasFilters(query) && (
        <Anchor component={Link} size="sm" to={{ search: writeListQuery({ sort }) }}>
          Clear all filters
        </Anchor>
      )}
    </div>
  )
}

function formatCount(count: number, isComplete: boolean): string {
  if (!isComplete) return `The first ${count} dogs`
  if (count === 0) return "No dogs"
  return count === 1 ? "1 dog" : `${count} dogs`
}
