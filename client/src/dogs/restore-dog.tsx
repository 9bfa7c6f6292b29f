import { Alert } from "@mantine/core"
import { AddDog } from "./add-dog"
import type { DogValues } from "./merge"
import type { DogDialogState } from "./use-dog-dialog"

/** Offers to add a dog again that was deleted while one wanted to edit it. */
export function RestoreDog({ values, dialog }: { values: DogValues | undefined; dialog: DogDialogState }) {
  const notice = (
    <Alert color="red" role="alert">
      This dog was deleted meanwhile. You can add it again as it stands here.
    </Alert>
  )
  return <AddDog values={values} submit="Add it again" notice={notice} dialog={dialog} />
}
