import { Alert } from "@mantine/core"
import { IconAlertCircle } from "@tabler/icons-react"
import type { ApiError } from "../api/errors"
import { useRetryAfter } from "./use-retry-after"

type Props = {
  error: ApiError | null
  /** The fields that have an input in this form, which shows its own messages. See `showFieldErrors`. */
  fields?: readonly string[]
}

/** At the top of a form: why it could not be sent, unless its inputs say so or the wait is over. */
export function FormError({ error, fields = [] }: Props) {
  const secondsToWait = useRetryAfter(error)
  if (!error || (error.retryAfter && secondsToWait === 0)) return null
  const atFault = Object.entries(error.fields)
  const elsewhere = atFault.filter(([name]) => !fields.includes(name))
  if (atFault.length > 0 && elsewhere.length === 0) return null
  return (
    <Alert color="red" role="alert" icon={<IconAlertCircle aria-hidden />}>
      {elsewhere.length > 0
        ? elsewhere.map(([name, messages]) => <div key={name}>{`${name}: ${messages.join(" ")}`}</div>)
        : error.message}
    </Alert>
  )
}
