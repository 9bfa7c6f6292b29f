import { Anchor } from "@mantine/core"
import type { Ref } from "react"
import { Link } from "react-router"
import classes from "./dog-list.module.css"
import { hasFilters, type ListQuery, writeListQuery } from "./list-query"

type Props = {
  ref: Ref<HTMLParagraphElement>
  query: ListQuery
  /** How many dogs are shown, or undefined while they load. */
  count: number | undefined
  isWhole: boolean
}

/** Says how much of the list is here. Screen readers hear it whenever that changes. */
export function ListSummary({ ref, query, count, isWhole }: Props) {
  return (
    <div className={classes.summary}>
      <p role="status" ref={ref} tabIndex={-1}>
        {summaryOf(count, isWhole)}
      </p>
      {hasFilters(query) && (
        <Anchor component={Link} size="sm" to={{ search: writeListQuery({ sort: query.sort }) }}>
          Clear all filters
        </Anchor>
      )}
    </div>
  )
}

function summaryOf(count: number | undefined, isWhole: boolean): string {
  if (count === undefined) return "Loading…"
  if (!isWhole) return `The first ${count} dogs`
  if (count === 0) return "No dogs"
  return count === 1 ? "1 dog" : `${count} dogs`
}
