import { Modal } from "@mantine/core"
import type { ReactNode } from "react"

type Props = {
  isOpen: boolean
  onClose: () => void
  title: string
  /** The width: a number of pixels, or one of Mantine's sizes. */
  size?: number | "sm" | "md" | "lg"
  children: ReactNode
}

/**
 * A dialog with a title and a way to close it. An input with `data-autofocus` has the focus first.
 *
 * A click beside it does not close it, so that nothing typed is lost by accident.
 */
export function Dialog({ isOpen, onClose, title, size, children }: Props) {
  return (
    <Modal.Root opened={isOpen} onClose={onClose} size={size} radius="lg" closeOnClickOutside={false}>
      <Modal.Overlay />
      <Modal.Content>
        {/* Mantine makes this a <header>, which screen readers would take for a second header of the page. */}
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
