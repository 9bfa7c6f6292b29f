import { Button, Group, Stack, Text, Title } from "@mantine/core"
import type { ReactNode } from "react"
import { Link, useLocation } from "react-router"
import { loginPath } from "../session/next-path"
import { useSession } from "../session/session"
import { AddButton } from "./add-button"
import { DogPortrait } from "./dog-portrait"
import { hasFilters, type ListQuery } from "./list-query"
import type { DogDialogState } from "./use-dog-dialog"

/** Shown instead of an empty list: why it is empty, and what to do about it. */
export function NoDogs({ query, dialog }: { query: ListQuery; dialog: DogDialogState }) {
  const { me } = useSession()
  const location = useLocation()
  const showAll = (
    <Button component={Link} variant="default" to="/">
      Show all dogs
    </Button>
  )

  if (query.mine && !me) {
    return (
      <Empty title="You are not logged in" text="Log in to see the dogs that you added.">
        <Button component={Link} to={loginPath(location)}>
          Log in
        </Button>
        {showAll}
      </Empty>
    )
  }
  if (hasFilters({ ...query, mine: undefined })) {
    return (
      <Empty
        title="No dogs found"
        text="Search matches any part of a word. Breed and owner must match exactly."
      >
        {showAll}
      </Empty>
    )
  }
  if (query.mine) {
    return (
      <Empty title="You have no dogs yet" text="To add one, you need its name and breed.">
        <AddButton dialog={dialog} />
        {showAll}
      </Empty>
    )
  }
  return (
    <Empty title="No dogs yet" text="To add the first one, you need its name and breed.">
      {me ? (
        <AddButton dialog={dialog} />
      ) : (
        <>
          <Button component={Link} to="/signup">
            Sign up
          </Button>
          <Button component={Link} variant="default" to={loginPath(location)}>
            Log in
          </Button>
        </>
      )}
    </Empty>
  )
}

function Empty({ title, text, children }: { title: string; text: string; children: ReactNode }) {
  return (
    <Stack align="center" gap="xs" py={48} ta="center">
      <DogPortrait name={title} breed={title} size={96} />
      <Title order={2} size="h3">
        {title}
      </Title>
      <Text c="dimmed">{text}</Text>
      <Group justify="center" mt="xs">
        {children}
      </Group>
    </Stack>
  )
}
