import { Paper, Text, Title } from "@mantine/core"
import type { ReactNode } from "react"
import classes from "./section.module.css"

type Props = { title: string; description: string; children: ReactNode }

/** A section of the profile: title and description on the left, form on the right. */
export function Section({ title, description, children }: Props) {
  return (
    <Paper
      component="section"
      withBorder
      radius="lg"
      p={{ base: "md", xs: "lg" }}
      className={classes.section}
    >
      <div>
        <Title order={2} size="h4">
          {title}
        </Title>
        <Text size="sm" c="dimmed">
          {description}
        </Text>
      </div>
      <div>{children}</div>
    </Paper>
  )
}
