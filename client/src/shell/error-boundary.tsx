import { Component, type ReactNode } from "react"
import { Alert, Button, Stack } from "@mantine/core"

type Props = {
  children: ReactNode
  /** Shown in place of what has failed; for a page, words about it. */
  fallback?: ReactNode
}

/** Keeps what can't be drawn, or whose code can't be loaded, from taking all the rest with it. */
export class ErrorBoundary extends Component<Props, { hasFailed: boolean }> {
  override state = { hasFailed: false }

  static getDerivedStateFromError() {
    return { hasFailed: true }
  }

  override render() {
    const { children, fallback } = this.props
    if (!this.state.hasFailed) return children
    if (fallback !== undefined) return fallback
    return (
      <Alert color="red" title="This page can't be shown" role="alert">
        <Stack align="flex-start">
          Something went wrong, or the connection broke off.
          <Button
            onClick={() => {
              window.location.reload()
            }}
          >
            Load it again
          </Button>
        </Stack>
      </Alert>
    )
  }
}
