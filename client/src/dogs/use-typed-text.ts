import { useDebouncedCallback } from "@mantine/hooks"
import { useState } from "react"

/** The text of an input that hands on what is typed after a pause, and follows `value` when that changes otherwise. */
export function useTypedText(value: string, onTyped: (text: string) => void) {
  const [text, setText] = useState(value)
  const [handedOn, setHandedOn] = useState(value)
  const [seen, setSeen] = useState(value)

  // A value that comes back to us late must not undo what has been typed since.
  if (value !== seen) {
    setSeen(value)
    if (value !== handedOn) {
      setHandedOn(value)
      setText(value)
    }
  }

  const handOn = useDebouncedCallback((typed: string) => {
    setHandedOn(typed)
    onTyped(typed)
  }, 300)

  const type = (typed: string) => {
    setText(typed)
    handOn(typed.trim())
  }
  return { text, type, handOnNow: handOn.flush }
}
