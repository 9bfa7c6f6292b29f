import { MantineProvider, TextInput } from "@mantine/core"
import { useForm } from "@mantine/form"
import { QueryClient, QueryClientProvider, useMutation } from "@tanstack/react-query"
import { act, cleanup, fireEvent, render, screen } from "@testing-library/react"
import { afterEach, beforeEach, expect, test, vi } from "vitest"
import { ApiError, offlineError } from "../api/errors"
import { ApiForm } from "./api-form"

type Send = (values: { name: string; breed: string }) => Promise<void>

function DogForm({ send }: { send: Send }) {
  const form = useForm({ mode: "uncontrolled", initialValues: { name: "", breed: "Poodle" } })
  const save = useMutation({ mutationFn: send, networkMode: "always" })
  return (
    <ApiForm form={form} mutation={save} submit="Save">
      <TextInput label="Name" key={form.key("name")} {...form.getInputProps("name")} />
      <TextInput label="Breed" key={form.key("breed")} {...form.getInputProps("breed")} />
    </ApiForm>
  )
}

const send = vi.fn<Send>()

/** Submit the form and fail with this error. */
async function submit(error: ApiError) {
  send.mockRejectedValueOnce(error)
  fireEvent.change(screen.getByLabelText("Name"), { target: { value: "Rex" } })
  fireEvent.click(screen.getByRole("button"))
  await act(() => vi.advanceTimersByTimeAsync(10))
}

beforeEach(() => {
  vi.useFakeTimers()
  render(
    <MantineProvider>
      <QueryClientProvider client={new QueryClient()}>
        <DogForm send={send} />
      </QueryClientProvider>
    </MantineProvider>,
  )
})
afterEach(() => {
  cleanup()
  vi.useRealTimers()
  send.mockReset()
})

const invalid = (fields: Record<string, string[]>) =>
  new ApiError({ status: 422, message: "Please correct", fields })

test("a field error is shown at its input, which gets the focus", async () => {
  await submit(invalid({ breed: ["Must be 1 to 80 characters.", "No line breaks."] }))
  const breed = screen.getByLabelText("Breed")
  expect(document.activeElement).toBe(breed)
  expect(breed.getAttribute("aria-invalid")).toBe("true")
  expect(screen.getByText("Must be 1 to 80 characters. No line breaks.")).toBeTruthy()
  expect(screen.queryByRole("alert")).toBeNull()
})

test("an error of a field without an input is shown at the top", async () => {
  await submit(invalid({ breed: ["Too long."], color: ["Unknown field."] }))
  expect(screen.getByRole("alert").textContent).toBe("color: Unknown field.")
})

test("without a connection the values are kept and can be resubmitted", async () => {
  await submit(offlineError())
  expect(screen.getByRole("alert").textContent).toContain("No connection")
  expect(screen.getByLabelText<HTMLInputElement>("Name").value).toBe("Rex")
  fireEvent.click(screen.getByRole("button", { name: "Try again" }))
  await act(() => vi.advanceTimersByTimeAsync(10))
  expect(send.mock.lastCall?.[0]).toEqual({ name: "Rex", breed: "Poodle" })
  expect(send).toHaveBeenCalledTimes(2)
})

test("nothing is sent before Retry-After has passed", async () => {
  await submit(new ApiError({ status: 429, message: "Too many attempts", retryAfter: 3 }))
  fireEvent.click(screen.getByRole("button", { name: "Try again in 3 s" }))
  await act(() => vi.advanceTimersByTimeAsync(1000))
  fireEvent.click(screen.getByRole("button", { name: "Try again in 2 s" }))
  await act(() => vi.advanceTimersByTimeAsync(2000))
  expect(send).toHaveBeenCalledTimes(1)
  fireEvent.click(screen.getByRole("button", { name: "Save" }))
  await act(() => vi.advanceTimersByTimeAsync(10))
  expect(send).toHaveBeenCalledTimes(2)
})
