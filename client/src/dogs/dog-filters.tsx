import { ActionIcon, Checkbox, NativeSelect } from "@mantine/core"
import { useDisclosure, useId } from "@mantine/hooks"
import { IconAdjustmentsHorizontal } from "@tabler/icons-react"
import type { Dog } from "../api/types"
import { useSession } from "../session/session"
import classes from "./dog-filters.module.css"
import { type ListQuery, type Sort, SORTS } from "./list-query"
import { TypedInput } from "./typed-input"

type Props = {
  query: ListQuery
  onChange: (changes: Partial<ListQuery>, options?: { isTyped: boolean }) => void
  /** Their breeds and owners are proposed. */
  dogs: Dog[]
}

/** Which dogs to show, and in what order. On a phone, most of it waits behind a button. */
export function DogFilters({ query, onChange, dogs }: Props) {
  const { me } = useSession()
  const [isOpen, { toggle }] = useDisclosure()
  const more = useId()
  const type = (name: "q" | "breed" | "owner") => (text: string) => {
    onChange({ [name]: text }, { isTyped: true })
  }
  return (
    <search className={classes.filters}>
      <TypedInput
        className={classes.search}
        label="Search"
        placeholder="Part of a name, breed or owner"
        type="search"
        value={query.q}
        onTyped={type("q")}
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
        <TypedInput
          label="Breed"
          placeholder="Any"
          value={query.breed}
          onTyped={type("breed")}
          choices={dogs.map(({ breed }) => breed)}
        />
        <TypedInput
          label="Owner"
          placeholder="Any"
          value={query.owner}
          onTyped={type("owner")}
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
