import { type ButtonProps, Group, Stack } from "@mantine/core"
import type { UseFormReturnType } from "@mantine/form"
import type { UseMutationResult } from "@tanstack/react-query"
import type { ReactNode } from "react"
import type { ApiError } from "../api/errors"
import { focusFirst, showFieldErrors } from "./field-errors"
import { FormError } from "./form-error"
import { SubmitButton } from "./submit-button"

type Props<Values extends object> = {
  form: UseFormReturnType<Values>
  /** Submits the values. Field errors of the server are shown at the inputs of the same names. */
  mutation: Pick<UseMutationResult<unknown, ApiError, Values>, "mutate" | "isPending" | "error">
  submit: string
  submitProps?: ButtonProps
  /** Buttons next to the submit button. */
  others?: ReactNode
  children: ReactNode
}

/** A form with a submit button and error handling. After an error, the values are kept. */
export function ApiForm<Values extends object>({
  form,
  mutation: { mutate, isPending, error },
  submit,
  submitProps,
  others,
  children,
}: Props<Values>) {
  return (
    <form
      noValidate
      onSubmit={form.onSubmit(
        (values) => {
          mutate(values, {
            onError: (reason) => {
              showFieldErrors(form, reason)
            },
          })
        },
        (errors) => {
          focusFirst(form, errors)
        },
      )}
    >
      <Stack>
        <FormError error={error} fields={Object.keys(form.getValues())} />
        {children}
        <Group>
          <SubmitButton isBusy={isPending} error={error} {...submitProps}>
            {submit}
          </SubmitButton>
          {others}
        </Group>
      </Stack>
    </form>
  )
}
