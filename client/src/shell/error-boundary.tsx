import { Component, type ReactNode } from "react"
import { Alert, Button, Stack } from "@mantine/core"

/** Shown in place of a page that can't be drawn, or whose code can't be loaded. */
export class ErrorBoundary extends Component<{ children: ReactNode }, { hasFailed: boolean }> {
  override state = { hasFailed: false }

  static getDerivedStateFromError() {
    return { hasFailed: true }
  }

  override render() {
    if (!this.state.hasFailed) return this.props.children
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
