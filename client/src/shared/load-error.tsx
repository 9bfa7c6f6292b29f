import { Alert, Button, Stack } from "@mantine/core"
import { IconAlertCircle } from "@tabler/icons-react"
import type { ApiError } from "../api/errors"

type Props = { error: ApiError; onRetry: () => void }

/** Shown instead of content that failed to load. */
export function LoadError({ error, onRetry }: Props) {
  return (
    <Alert color="red" role="alert" title="This could not be loaded" icon={<IconAlertCircle aria-hidden />}>
      <Stack align="flex-start">
        {error.message}
        <Button onClick={onRetry}>Try again</Button>
      </Stack>
    </Alert>
  )
}
