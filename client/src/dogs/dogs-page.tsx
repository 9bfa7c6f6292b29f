import { Anchor, Text } from "@mantine/core"
import { Suspense } from "react"
import { Link } from "react-router"
import { useSession, wasLoggedIn } from "../session/session"
import { lazyWithRetry } from "../shared/lazy-with-retry"
import { PageTitle } from "../shared/page-title"
import { AddButton } from "./add-button"
import { DogFilters } from "./dog-filters"
import { DogList } from "./dog-list"
import classes from "./dogs-page.module.css"
import { hasFilters } from "./list-query"
import { useDogDialog } from "./use-dog-dialog"
import { useDogs } from "./use-dogs"
import { useListQuery } from "./use-list-query"

const DogDialog = lazyWithRetry(() => import("./dog-dialog"))

export default function DogsPage() {
  const { me } = useSession()
  const [query, changeQuery] = useListQuery()
  const dogs = useDogs(query)
  const dialog = useDogDialog()
  const isVisitor = me === null || (me === undefined && !wasLoggedIn)
  const isEmpty = dogs.data?.length === 0 && !hasFilters(query)
  return (
    <>
      <div className={classes.intro}>
        <PageTitle>Dogs</PageTitle>
        {me && <AddButton dialog={dialog} />}
        <Text className={classes.words} c="dimmed">
          All dogs and their owners.
          {isVisitor && (
            <>
              {" "}
              <Anchor component={Link} to="/signup" inherit>
                Sign up
              </Anchor>{" "}
              to add your own.
            </>
          )}
        </Text>
      </div>
      {!isEmpty && <DogFilters query={query} onChange={changeQuery} dogs={dogs.data ?? []} />}
      <DogList query={query} dogs={dogs} dialog={dialog} />
      {me && (
        // Rendered from the start, so that it opens immediately, even without a connection.
        <Suspense>
          <DogDialog dialog={dialog} />
        </Suspense>
      )}
    </>
  )
}
