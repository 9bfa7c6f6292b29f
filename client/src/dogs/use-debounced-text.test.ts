import { act, renderHook } from "@testing-library/react"
import { afterEach, beforeEach, expect, test, vi } from "vitest"
import { useDebouncedText } from "./use-debounced-text"

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

function renderText() {
  const onCommit = vi.fn()
  const { result, rerender } = renderHook(({ value }) => useDebouncedText(value, onCommit), {
    initialProps: { value: "" },
  })
  return {
    onCommit,
    text: () => result.current.text,
    type: (text: string) => {
      act(() => {
        result.current.type(text)
      })
    },
    pause: () => {
      act(() => {
        vi.advanceTimersByTime(300)
      })
    },
    blur: () => {
      act(() => {
        result.current.commitNow()
      })
    },
    getValue: (value: string) => {
      rerender({ value })
    },
  }
}

test("commits the text once after a pause", () => {
  const { onCommit, type, pause } = renderText()
  type("m")
  type("ma")
  expect(onCommit).not.toHaveBeenCalled()
  pause()
  pause()
  expect(onCommit.mock.calls).toEqual([["ma"]])
})

test("commits the text immediately on blur", () => {
  const { onCommit, type, blur, pause } = renderText()
  type("max")
  blur()
  pause()
  expect(onCommit.mock.calls).toEqual([["max"]])
})

test("follows external changes of the value", () => {
  const { text, getValue } = renderText()
  getValue("max")
  expect(text()).toBe("max")
  getValue("")
  expect(text()).toBe("")
})

test("a late value does not overwrite newer text", () => {
  const { text, type, pause, getValue } = renderText()
  type("ma")
  pause()
  type("max")
  getValue("ma")
  expect(text()).toBe("max")
})

test("a trailing space is kept while typing", () => {
  const { onCommit, text, type, pause, getValue } = renderText()
  type("great ")
  pause()
  getValue("great")
  expect(onCommit.mock.calls).toEqual([["great"]])
  expect(text()).toBe("great ")
})
