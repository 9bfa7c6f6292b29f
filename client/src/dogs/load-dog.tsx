import { Skeleton, Stack } from "@mantine/core"
import type { Dog } from "../api/types"
import { LoadError } from "../shared/load-error"
import { EditDog } from "./edit-dog"
import { RestoreDog } from "./restore-dog"
import type { DogDialogState } from "./use-dog-dialog"
import { useVersion } from "./use-dogs"

/** Load the current version of a dog, which may differ from the list, and edit it. */
export function LoadDog({ dog, dialog }: { dog: Dog; dialog: DogDialogState }) {
  const { data: version, error, refetch } = useVersion(dog.id)
  if (version) return <EditDog version={version} values={version.dog} dialog={dialog} />
  if (error?.status === 404) return <RestoreDog values={dog} dialog={dialog} />
  if (error) return <LoadError error={error} onRetry={() => void refetch()} />
  return (
    <Stack role="status" aria-label="Loading">
      <Skeleton h={60} />
      <Skeleton h={60} />
      <Skeleton h={80} />
    </Stack>
  )
}
