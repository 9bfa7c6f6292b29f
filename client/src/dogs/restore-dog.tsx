import { Alert } from "@mantine/core"
import { AddDog } from "./add-dog"
import type { DogValues } from "./merge"
import type { DogDialogState } from "./use-dog-dialog"

/** Offer to restore a dog that was deleted while the user was editing it. */
export function RestoreDog({ values, dialog }: { values: DogValues | undefined; dialog: DogDialogState }) {
  const notice = (
    <Alert color="red" role="alert">
      This dog was deleted in the meantime. You can add it again with these values.
    </Alert>
  )
  return <AddDog values={values} submit="Add again" notice={notice} dialog={dialog} />
}
