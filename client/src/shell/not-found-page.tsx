import { Button, Stack, Text } from "@mantine/core"
import { Link } from "react-router"
import { PageTitle } from "../shared/page-title"

export default function NotFoundPage() {
  return (
    <Stack align="center" ta="center" py={64}>
      <PageTitle tab="Page not found">This page has run away</PageTitle>
      <Text c="dimmed">
        Not found. Perhaps it was mistyped, or the page has moved.
      </Text>
      <Button component={Link} to="/">
        See the dogs
      </Button>
    </Stack>
  )
}
