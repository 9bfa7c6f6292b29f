import { useDisclosure } from "@mantine/hooks"
import { useState } from "react"
import type { Dog } from "../api/types"
import { useSession } from "../session/session"
import type { DogValues } from "./merge"
import type { Version } from "./use-dogs"

/** What the dialog is open for. `values` is what one has typed in. */
export type DogTask =
  | { kind: "add"; values?: DogValues }
  | { kind: "load"; dog: Dog }
  | { kind: "edit"; version: Version; values: DogValues }
  | { kind: "merge"; base: Dog; version: Version; values: DogValues }

// What was last sent from the dialog, until that is closed. Where the session has ended, it is still here when the same
// user has logged in again.
let sent: { task: DogTask; userId: number | undefined } | null = null

/** The dialog in which dogs are added and edited. */
export function useDogDialog() {
  const { me } = useSession()
  const [unsaved] = useState(() => (sent?.userId === me?.id ? sent?.task : undefined))
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
      sent = { task, userId: me?.id }
    },
    close: () => {
      sent = null
      close()
    },
  }
}

export type DogDialogState = ReturnType<typeof useDogDialog>
