import { act, renderHook } from "@testing-library/react"
import { afterEach, beforeEach, expect, test, vi } from "vitest"
import { useTypedText } from "./use-typed-text"

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

function typedText() {
  const onTyped = vi.fn()
  const { result, rerender } = renderHook(({ value }) => useTypedText(value, onTyped), {
    initialProps: { value: "" },
  })
  return {
    onTyped,
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
    leave: () => {
      act(() => {
        result.current.handOnNow()
      })
    },
    getValue: (value: string) => {
      rerender({ value })
    },
  }
}

test("hands on the text after a pause, once", () => {
  const { onTyped, type, pause } = typedText()
  type("m")
  type("ma")
  expect(onTyped).not.toHaveBeenCalled()
  pause()
  pause()
  expect(onTyped.mock.calls).toEqual([["ma"]])
})

test("hands on the text at once when one leaves the input", () => {
  const { onTyped, type, leave, pause } = typedText()
  type("max")
  leave()
  pause()
  expect(onTyped.mock.calls).toEqual([["max"]])
})

test("follows a value that changes otherwise", () => {
  const { text, getValue } = typedText()
  getValue("max")
  expect(text()).toBe("max")
  getValue("")
  expect(text()).toBe("")
})

test("a value that comes back late undoes nothing", () => {
  const { text, type, pause, getValue } = typedText()
  type("ma")
  pause()
  type("max")
  getValue("ma")
  expect(text()).toBe("max")
})

test("a space at the end may stay, for the next word", () => {
  const { onTyped, text, type, pause, getValue } = typedText()
  type("great ")
  pause()
  getValue("great")
  expect(onTyped.mock.calls).toEqual([["great"]])
  expect(text()).toBe("great ")
})
