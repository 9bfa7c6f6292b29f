import { TextInput } from "@mantine/core"
import { useId } from "react"
import { useTypedText } from "./use-typed-text"

type Props = {
  className?: string | undefined
  label: string
  placeholder?: string
  type?: "text" | "search"
  value?: string | undefined
  onTyped: (text: string) => void
  /** What the browser proposes. */
  choices?: string[]
}

/** An input whose text takes effect when one pauses, leaves it, or presses Enter. */
export function TypedInput({ value = "", onTyped, choices = [], ...others }: Props) {
  const { text, type, handOnNow } = useTypedText(value, onTyped)
  const list = useId()
  return (
    <>
      <TextInput
        {...others}
        list={choices.length > 0 ? list : undefined}
        value={text}
        maxLength={80} // more would find nothing
        autoComplete="off"
        spellCheck={false}
        onChange={({ target }) => {
          type(target.value)
        }}
        onKeyDown={({ key }) => {
          if (key === "Enter") handOnNow()
        }}
        onBlur={() => {
          handOnNow()
        }}
      />
      <datalist id={list}>
        {[...new Set(choices)].sort().map((choice) => (
          <option key={choice} value={choice} />
        ))}
      </datalist>
    </>
  )
}
