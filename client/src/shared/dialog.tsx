import { Modal } from "@mantine/core"
import type { ReactNode } from "react"

type Props = {
  isOpen: boolean
  onClose: () => void
  title: string
  /** The width: pixels, or one of Mantine's sizes. */
  size?: number | "sm" | "md" | "lg"
  children: ReactNode
}

/**
 * A dialog with a title and a close button. An input with `data-autofocus` gets the initial focus.
 *
 * A click outside does not close it, so that no input is lost by accident.
 */
export function Dialog({ isOpen, onClose, title, size, children }: Props) {
  return (
    <Modal.Root opened={isOpen} onClose={onClose} size={size} radius="lg" closeOnClickOutside={false}>
      <Modal.Overlay />
      <Modal.Content>
        {/* Mantine renders a <header>, which would be a second banner landmark of the page. */}
        <Modal.Header role="presentation">
          <Modal.Title fw={700} fz="lg" lh="sm">
            {title}
          </Modal.Title>
          <Modal.CloseButton aria-label="Close" />
        </Modal.Header>
        <Modal.Body>{children}</Modal.Body>
      </Modal.Content>
    </Modal.Root>
  )
}
