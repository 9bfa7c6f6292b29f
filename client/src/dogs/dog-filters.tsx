import { ActionIcon, Checkbox, NativeSelect } from "@mantine/core"
import { useDisclosure, useId } from "@mantine/hooks"
import { IconAdjustmentsHorizontal } from "@tabler/icons-react"
import type { Dog } from "../api/types"
import { useSession } from "../session/session"
import classes from "./dog-filters.module.css"
import { type ListQuery, type Sort, SORTS } from "./list-query"
import { DebouncedInput } from "./debounced-input"

type Props = {
  query: ListQuery
  onChange: (changes: Partial<ListQuery>, options?: { replace: boolean }) => void
  /** Their breeds and owners are suggested. */
  dogs: Dog[]
}

/** Search, filters and sorting of the list. On a phone, all but the search is collapsed. */
export function DogFilters({ query, onChange, dogs }: Props) {
  const { me } = useSession()
  const [isOpen, { toggle }] = useDisclosure()
  const more = useId()
  const type = (name: "q" | "breed" | "owner") => (text: string) => {
    onChange({ [name]: text }, { replace: true })
  }
  return (
    <search className={classes.filters}>
      <DebouncedInput
        className={classes.search}
        label="Search"
        placeholder="Part of a name, breed or owner"
        type="search"
        value={query.q}
        onCommit={type("q")}
      />
      <ActionIcon
        className={classes.toggle}
        variant="default"
        size={36}
        aria-label="More filters"
        aria-expanded={isOpen}
        aria-controls={more}
        onClick={toggle}
      >
        <IconAdjustmentsHorizontal size={20} aria-hidden />
      </ActionIcon>
      <div className={classes.more} id={more} data-open={isOpen}>
        <DebouncedInput
          label="Breed"
          placeholder="Any"
          value={query.breed}
          onCommit={type("breed")}
          choices={dogs.map(({ breed }) => breed)}
        />
        <DebouncedInput
          label="Owner"
          placeholder="Any"
          value={query.owner}
          onCommit={type("owner")}
          choices={dogs.map(({ owner }) => owner)}
        />
        <NativeSelect
          label="Sort by"
          data={SORTS}
          value={query.sort}
          onChange={({ target }) => {
            onChange({ sort: target.value as Sort })
          }}
        />
        {me && (
          <Checkbox
            className={classes.mine}
            label="Mine only"
            checked={Boolean(query.mine)}
            onChange={({ target }) => {
              onChange({ mine: target.checked })
            }}
          />
        )}
      </div>
    </search>
  )
}
