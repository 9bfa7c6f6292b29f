import { Button, Center } from "@mantine/core"
import { useIntersection } from "@mantine/hooks"
import { useEffect, useRef } from "react"
import { NavigationType, useNavigationType } from "react-router"
import { useSession } from "../session/session"
import { LoadError } from "../shared/load-error"
import { DogCard } from "./dog-card"
import classes from "./dog-list.module.css"
import { DogListSkeleton } from "./dog-list-skeleton"
import { type ListQuery, writeListQuery } from "./list-query"
import { ListSummary } from "./list-summary"
import { NoDogs } from "./no-dogs"
import type { DogDialogState } from "./use-dog-dialog"
import type { useDogs } from "./use-dogs"

type Props = { query: ListQuery; dogs: ReturnType<typeof useDogs>; dialog: DogDialogState }

/** The dogs that match the query, with infinite scrolling. */
export function DogList({ query, dogs, dialog }: Props) {
  const { me } = useSession()
  const { data, error, hasNextPage, isFetching, isFetchNextPageError, fetchNextPage, refetch } = dogs
  const needsLogin = query.mine && me === null
  const hasFailed = error && !isFetching

  const { ref: end, entry } = useIntersection({ rootMargin: "600px" })
  const shouldFetchNext = entry?.isIntersecting && hasNextPage && !isFetching && !error
  useEffect(() => {
    if (shouldFetchNext) void fetchNextPage()
  }, [shouldFetchNext, fetchNextPage])

  const summary = useRef<HTMLParagraphElement>(null)
  const list = useRef<HTMLDivElement>(null)
  const address = writeListQuery(query)
  const navigation = useNavigationType()
  useEffect(() => {
    if (navigation === NavigationType.Pop) return // the browser restores the scroll position
    summary.current?.scrollIntoView({ block: "nearest" })
    // The clicked link is removed, or may be soon.
    const { activeElement, body } = document
    if (activeElement === body || list.current?.contains(activeElement)) summary.current?.focus()
  }, [address, navigation])

  return (
    <>
      <ListSummary
        ref={summary}
        query={query}
        count={needsLogin ? 0 : data?.length}
        isComplete={!hasNextPage}
      />
      <div ref={list} className={classes.container}>
        {needsLogin || data?.length === 0 ? (
          <NoDogs query={query} dialog={dialog} />
        ) : data ? (
          <ul className={classes.list} aria-busy={dogs.isPlaceholderData}>
            {data.map((dog) => (
              <DogCard
                key={dog.id}
                dog={dog}
                query={query}
                isMine={dog.user_id === me?.id}
                onEdit={() => {
                  dialog.show({ kind: "load", dog })
                }}
              />
            ))}
          </ul>
        ) : (
          !hasFailed && <DogListSkeleton />
        )}
        {hasFailed && (
          <LoadError
            error={error}
            onRetry={() => void (isFetchNextPageError ? fetchNextPage() : refetch())}
          />
        )}
        {hasNextPage && !hasFailed && (
          <Center ref={end}>
            <Button variant="default" onClick={() => void fetchNextPage()}>
              {isFetching ? "Loading…" : "Load more"}
            </Button>
          </Center>
        )}
      </div>
    </>
  )
}
