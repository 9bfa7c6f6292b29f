import { TextInput } from "@mantine/core"
import { useId } from "react"
import { useDebouncedText } from "./use-debounced-text"

type Props = {
  className?: string | undefined
  label: string
  placeholder?: string
  type?: "text" | "search"
  value?: string | undefined
  onCommit: (text: string) => void
  /** Suggestions of the browser. */
  choices?: string[]
}

/** An input that commits its text after a pause, on blur, or on Enter. */
export function DebouncedInput({ value = "", onCommit, choices = [], ...others }: Props) {
  const { text, type, commitNow } = useDebouncedText(value, onCommit)
  const list = useId()
  return (
    <>
      <TextInput
        {...others}
        list={choices.length > 0 ? list : undefined}
        value={text}
        maxLength={80} // longer text matches nothing
        autoComplete="off"
        spellCheck={false}
        onChange={({ target }) => {
          type(target.value)
        }}
        onKeyDown={({ key }) => {
          if (key === "Enter") commitNow()
        }}
        onBlur={() => {
          commitNow()
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
