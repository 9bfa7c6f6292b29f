import { ActionIcon } from "@mantine/core"
import { notifications } from "@mantine/notifications"
import { IconPencil, IconTrash } from "@tabler/icons-react"
import { useRef } from "react"
import type { Dog } from "../api/types"
import classes from "./dog-actions.module.css"
import { offerUndo } from "./offer-undo"
import { useAddDog, useDeleteDog } from "./use-dogs"

type Props = { dog: Dog; onEdit: () => void }

/** The buttons of the user's own dogs. */
export function DogActions({ dog, onEdit }: Props) {
  const container = useRef<HTMLDivElement>(null)
  const add = useAddDog()
  const remove = useDeleteDog((deleted) => {
    const card = container.current?.closest("li")
    const neighbor = card?.nextElementSibling ?? card?.previousElementSibling ?? null
    if (deleted) offerUndo(deleted, add.mutateAsync, neighbor)
    else notifications.show({ message: `${dog.name} was already deleted.`, role: "status" })
  })
  return (
    <div className={classes.actions} ref={container}>
      <ActionIcon variant="subtle" color="gray" size={36} aria-label={`Edit ${dog.name}`} onClick={onEdit}>
        <IconPencil size={18} aria-hidden />
      </ActionIcon>
      <ActionIcon
        variant="subtle"
        color="gray"
        size={36}
        aria-label={`Delete ${dog.name}`}
        aria-disabled={remove.isPending}
        onClick={() => {
          if (!remove.isPending) remove.mutate(dog, { onError: showError })
        }}
      >
        <IconTrash size={18} aria-hidden />
      </ActionIcon>
    </div>
  )

  function showError({ message }: { message: string }) {
    notifications.show({ color: "red", title: `${dog.name} was not deleted`, message })
  }
}
