import { useDisclosure } from "@mantine/hooks"
import { useState } from "react"
import type { Dog } from "../api/types"
import { useSession } from "../session/session"
import type { DogValues } from "./merge"
import type { Version } from "./use-dogs"

/** What the dialog shows. `values` are those in the form. */
export type DogTask =
  | { kind: "add"; values?: DogValues }
  | { kind: "load"; dog: Dog }
  | { kind: "edit"; version: Version; values: DogValues }
  | { kind: "merge"; base: Dog; version: Version; values: DogValues }

// The task that was last submitted, until the dialog is closed. If the session has expired, it is restored when the same
// user logs in again.
let submitted: { task: DogTask; userId: number | undefined } | null = null

/** The state of the dialog to add or edit a dog. */
export function useDogDialog() {
  const { me } = useSession()
  const [unsaved] = useState(() => (submitted?.userId === me?.id ? submitted?.task : undefined))
  const [task, setTask] = useState<DogTask>(unsaved ?? { kind: "add" })
  const [isOpen, { open, close }] = useDisclosure(Boolean(unsaved))
  return {
    task,
    isOpen,
    show: (next: DogTask) => {
      setTask(next)
      open()
    },
    keep: (task: DogTask) => {
      submitted = { task, userId: me?.id }
    },
    close: () => {
      submitted = null
      close()
    },
  }
}

export type DogDialogState = ReturnType<typeof useDogDialog>
