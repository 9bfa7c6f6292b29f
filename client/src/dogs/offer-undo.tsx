import { Button, Stack } from "@mantine/core"
import { type NotificationData, notifications } from "@mantine/notifications"
import type { ApiError } from "../api/errors"
import type { Dog } from "../api/types"

const TIME_TO_UNDO = 8000

/** Say that a dog was deleted, with a button that adds it again. It has the focus, which then goes on to `next`. */
export function offerUndo(dog: Dog, addAgain: (dog: Dog) => Promise<unknown>, next: Element | null): void {
  let hasFocus = false
  let now: NotificationData = {
    id: `undo-${dog.id}`,
    title: `${dog.name} was deleted`,
    message: <UndoButton onClick={() => void undo()}>Undo</UndoButton>,
    autoClose: TIME_TO_UNDO,
    closeButtonProps: { "aria-label": "Close" },
    onFocus: ({ target }) => {
      hasFocus = true
      // Who uses the keyboard gets all the time they need (WCAG 2.2, 2.2.1).
      if (target.matches(":focus-visible")) notifications.update({ ...now, autoClose: false })
    },
    onBlur: () => {
      hasFocus = false
      notifications.update(now)
    },
    onClose: () => {
      if (hasFocus) moveFocus()
    },
  }
  notifications.show(now)

  function change(changes: Partial<NotificationData>) {
    now = { ...now, message: null, loading: false, color: "rust", ...changes }
    notifications.update(now)
  }

  function moveFocus() {
    const place = next?.isConnected ? next : document.getElementById("main")
    if (place instanceof HTMLElement) place.focus({ preventScroll: true })
  }

  async function undo() {
    moveFocus()
    change({ title: `Adding ${dog.name} again…`, loading: true, autoClose: false })
    try {
      await addAgain(dog)
      change({ title: `${dog.name} is back`, autoClose: 4000 })
    } catch (error) {
      const message = (
        <Stack align="flex-start" gap="xs">
          {(error as ApiError).message}
          <UndoButton onClick={() => void undo()}>Try again</UndoButton>
        </Stack>
      )
      change({ title: `${dog.name} is not back yet`, message, color: "red" })
    }
  }
}

function UndoButton({ children, onClick }: { children: string; onClick: () => void }) {
  return (
    // The margin leaves room for the outline that shows the focus.
    <Button variant="default" size="xs" m={4} autoFocus onClick={onClick}>
      {children}
    </Button>
  )
}
