import { Button, Stack, Text } from "@mantine/core"
import { Link } from "react-router"
import { PageTitle } from "../shared/page-title"

export default function NotFoundPage() {
  return (
    <Stack align="center" ta="center" py={64}>
      <PageTitle>Page not found</PageTitle>
      <Text c="dimmed">The address may be mistyped, or the page may have moved.</Text>
      <Button component={Link} to="/">
        See the dogs
      </Button>
    </Stack>
  )
}
