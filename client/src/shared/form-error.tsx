import { Alert } from "@mantine/core"
import { IconAlertCircle } from "@tabler/icons-react"
import type { ApiError } from "../api/errors"
import { useRetryAfter } from "./use-retry-after"

type Props = {
  error: ApiError | null
  /** The fields with an input in this form, where their messages are shown. See `showFieldErrors`. */
  fields?: readonly string[]
}

/** The error at the top of a form, unless it is shown at the inputs or its Retry-After has passed. */
export function FormError({ error, fields = [] }: Props) {
  const secondsToWait = useRetryAfter(error)
  if (!error || (error.retryAfter && secondsToWait === 0)) return null
  const entries = Object.entries(error.fields)
  const elsewhere = entries.filter(([name]) => !fields.includes(name))
  if (entries.length > 0 && elsewhere.length === 0) return null
  return (
    <Alert color="red" role="alert" icon={<IconAlertCircle aria-hidden />}>
      {elsewhere.length > 0
        ? elsewhere.map(([name, messages]) => <div key={name}>{`${name}: ${messages.join(" ")}`}</div>)
        : error.message}
    </Alert>
  )
}
