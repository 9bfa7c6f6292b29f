import type { FormErrors, UseFormReturnType } from "@mantine/form"
import type { ApiError } from "../api/errors"

/** Show the server's messages at the inputs of a form, and focus the first of them. */
export function showFieldErrors<Values extends object>(
  form: UseFormReturnType<Values>,
  error: ApiError,
): void {
  const names = Object.keys(form.getValues()).filter((name) => error.fields[name])
  const messages = Object.fromEntries(names.map((name) => [name, error.fields[name]?.join(" ")]))
  form.setErrors(messages)
  focusFirst(form, messages)
}

/** Focus the first invalid input. */
export function focusFirst<Values extends object>(form: UseFormReturnType<Values>, errors: FormErrors): void {
  const [first] = Object.keys(errors)
  if (first) form.getInputNode(first)?.focus()
}
