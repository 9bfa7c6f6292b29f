import { useDebouncedCallback } from "@mantine/hooks"
import { useState } from "react"

/** The text of an input that commits typed text after a pause, and follows `value` when that changes otherwise. */
export function useDebouncedText(value: string, onCommit: (text: string) => void) {
  const [text, setText] = useState(value)
  const [committed, setCommitted] = useState(value)
  const [previous, setPrevious] = useState(value)

  // A committed value that comes back late must not overwrite what was typed since.
  if (value !== previous) {
    setPrevious(value)
    if (value !== committed) {
      setCommitted(value)
      setText(value)
    }
  }

  const commit = useDebouncedCallback((typed: string) => {
    setCommitted(typed)
    onCommit(typed)
  }, 300)

  const type = (typed: string) => {
    setText(typed)
    commit(typed.trim())
  }
  return { text, type, commitNow: commit.flush }
}
