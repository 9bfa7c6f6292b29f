import { Paper, Stack } from "@mantine/core"
import type { ReactNode } from "react"

/** The narrow card of a page with a single form. */
export function AuthCard({ children }: { children: ReactNode }) {
  return (
    <Paper withBorder radius="lg" p={{ base: "lg", xs: "xl" }} maw={440} mx="auto">
      <Stack>{children}</Stack>
    </Paper>
  )
}
