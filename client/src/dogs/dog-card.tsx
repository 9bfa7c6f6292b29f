import { VisuallyHidden } from "@mantine/core"
import { Link } from "react-router"
import type { Dog } from "../api/types"
import { DogActions } from "./dog-actions"
import classes from "./dog-card.module.css"
import { DogPortrait } from "./dog-portrait"
import { type ListQuery, writeListQuery } from "./list-query"

const date = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" })

type Props = { dog: Dog; query: ListQuery; isMine: boolean; onEdit: () => void }

/** A dog in the list. Its breed and owner are links to the filtered list. */
export function DogCard({ dog, query, isMine, onEdit }: Props) {
  const { name, breed, owner, created_at } = dog
  return (
    // Focusable, since it gets the focus when the dog next to it is deleted.
    <li className={classes.card} tabIndex={-1}>
      <DogPortrait name={name} breed={breed} />
      <div className={classes.text}>
        <h2 className={classes.name}>{name}</h2>
        <p className={classes.line}>
          <VisuallyHidden>Breed: </VisuallyHidden>
          <Link className={classes.breed} to={{ search: writeListQuery({ ...query, breed }) }}>
            {breed}
          </Link>
        </p>
        <p className={classes.line}>
          <VisuallyHidden>Owner: </VisuallyHidden>
          <Link className={classes.owner} to={{ search: writeListQuery({ ...query, owner }) }}>
            {owner}
          </Link>
          <VisuallyHidden>Added: </VisuallyHidden>
          <time dateTime={created_at}>{date.format(new Date(created_at))}</time>
        </p>
      </div>
      {isMine && <DogActions dog={dog} onEdit={onEdit} />}
    </li>
  )
}
