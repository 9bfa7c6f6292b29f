import { Button, type ButtonProps, Loader } from "@mantine/core"
import type { MouseEvent } from "react"
import type { ApiError } from "../api/errors"
import { useRetryAfter } from "./use-retry-after"

type Props = ButtonProps & { isBusy: boolean; error: ApiError | null; children: string }

/** The submit button of a form. While busy, or until Retry-After has passed, it does nothing but keeps the focus. */
export function SubmitButton({ isBusy, error, children, ...others }: Props) {
  const seconds = useRetryAfter(error)
  const isWaiting = seconds > 0
  const label = isWaiting ? `Try again in ${seconds} s` : error?.isOffline ? "Try again" : children
  return (
    <Button
      type="submit"
      aria-disabled={isBusy || isWaiting}
      data-disabled={isWaiting || undefined}
      leftSection={isBusy ? <Loader size={16} color="currentColor" aria-hidden /> : undefined}
      onClick={(event: MouseEvent) => {
        if (isBusy || isWaiting) event.preventDefault()
      }}
      {...others}
    >
      {label}
    </Button>
  )
}
