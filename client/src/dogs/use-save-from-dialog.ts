import { notifications } from "@mantine/notifications"
import type { DogValues } from "./merge"
import type { DogDialogState, DogTask } from "./use-dog-dialog"
import { useSaveDog, type Version } from "./use-dogs"

/** Save a dog and close the dialog, or show both versions if the dog was changed elsewhere. */
export function useSaveFromDialog(
  dialog: DogDialogState,
  version: Version,
  toTask: (values: DogValues) => DogTask,
) {
  return useSaveDog(version, {
    onMutate: (values) => {
      dialog.keep(toTask(values))
    },
    onSuccess: ({ isSaved, ...current }, values) => {
      if (isSaved) {
        dialog.close()
        notifications.show({ message: `${current.dog.name} was saved.`, role: "status" })
      } else {
        dialog.show({ kind: "merge", base: version.dog, version: current, values })
      }
    },
  })
}
