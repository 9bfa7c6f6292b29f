import { Component, type ReactNode } from "react"
import { Alert, Button, Stack } from "@mantine/core"

type Props = {
  children: ReactNode
  /** Shown instead of the failed children; by default an error message. */
  fallback?: ReactNode
}

/** Catch errors of rendering, or of loading code, so that the rest of the page keeps working. */
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
