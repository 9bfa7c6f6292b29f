import { DogForm } from "./dog-form"
import type { DogValues } from "./merge"
import { RestoreDog } from "./restore-dog"
import type { DogDialogState } from "./use-dog-dialog"
import type { Version } from "./use-dogs"
import { useSaveFromDialog } from "./use-save-from-dialog"

type Props = { version: Version; values: DogValues; dialog: DogDialogState }

export function EditDog({ version, values, dialog }: Props) {
  const save = useSaveFromDialog(dialog, version, (values) => ({ kind: "edit", version, values }))
  if (save.error?.status === 404) return <RestoreDog values={save.variables} dialog={dialog} />
  return <DogForm values={values} mutation={save} submit="Save" onCancel={dialog.close} />
}
