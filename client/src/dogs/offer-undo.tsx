import { Button, Stack } from "@mantine/core"
import { type NotificationData, notifications } from "@mantine/notifications"
import type { ApiError } from "../api/errors"
import type { Dog } from "../api/types"

const UNDO_TIMEOUT_MS = 8000

/** Notify that a dog was deleted, with a focused button to restore it. Afterwards the focus moves to `next`. */
export function offerUndo(dog: Dog, restore: (dog: Dog) => Promise<unknown>, next: Element | null): void {
  let hasFocus = false
  let current: NotificationData = {
    id: `undo-${dog.id}`,
    title: `${dog.name} was deleted`,
    message: <UndoButton onClick={() => void undo()}>Undo</UndoButton>,
    autoClose: UNDO_TIMEOUT_MS,
    closeButtonProps: { "aria-label": "Close" },
    onFocus: ({ target }) => {
      hasFocus = true
      // No timeout for keyboard users (WCAG 2.2, 2.2.1).
      if (target.matches(":focus-visible")) notifications.update({ ...current, autoClose: false })
    },
    onBlur: () => {
      hasFocus = false
      notifications.update(current)
    },
    onClose: () => {
      if (hasFocus) moveFocus()
    },
  }
  notifications.show(current)

  function change(changes: Partial<NotificationData>) {
    current = { ...current, message: null, loading: false, color: "rust", ...changes }
    notifications.update(current)
  }

  function moveFocus() {
    const target = next?.isConnected ? next : document.getElementById("main")
    if (target instanceof HTMLElement) target.focus({ preventScroll: true })
  }

  async function undo() {
    moveFocus()
    change({ title: `Restoring ${dog.name}…`, loading: true, autoClose: false })
    try {
      await restore(dog)
      change({ title: `${dog.name} was restored`, autoClose: 4000 })
    } catch (error) {
      const message = (
        <Stack align="flex-start" gap="xs">
          {(error as ApiError).message}
          <UndoButton onClick={() => void undo()}>Try again</UndoButton>
        </Stack>
      )
      change({ title: `${dog.name} was not restored`, message, color: "red" })
    }
  }
}

function UndoButton({ children, onClick }: { children: string; onClick: () => void }) {
  return (
    // The margin makes space for the focus outline.
    <Button variant="default" size="xs" m={4} autoFocus onClick={onClick}>
      {children}
    </Button>
  )
}
