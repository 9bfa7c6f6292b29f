import { Button, Text, TextInput } from "@mantine/core"
import { useForm } from "@mantine/form"
import type { Dog } from "../api/types"
import { ApiForm } from "../shared/api-form"
import { differences, type DogValues, type Field, FIELDS, merge } from "./merge"
import classes from "./merge-dog.module.css"
import { RestoreDog } from "./restore-dog"
import type { DogDialogState } from "./use-dog-dialog"
import type { Version } from "./use-dogs"
import { useSaveFromDialog } from "./use-save-from-dialog"

const LABELS: Record<Field, string> = { name: "Name", breed: "Breed", owner: "Owner" }

type Props = {
  /** The dog when editing began. */
  base: Dog
  /** The current dog. */
  version: Version
  /** The values in the form. */
  values: DogValues
  dialog: DogDialogState
}

/** Resolve the conflict when a dog was changed elsewhere during editing: show both versions and merge them. */
export function MergeDog({ base, version, values, dialog }: Props) {
  const save = useSaveFromDialog(dialog, version, (values) => ({ kind: "merge", base, version, values }))
  const theirs = version.dog
  const form = useForm({ initialValues: merge(base, theirs, values) })
  const changedFields = differences(base, theirs)
  const conflicts = differences(theirs, form.values)
  if (save.error?.status === 404) return <RestoreDog values={save.variables} dialog={dialog} />
  return (
    <ApiForm
      form={form}
      mutation={save}
      submit="Save mine"
      others={
        <Button variant="default" onClick={dialog.close}>
          Keep theirs
        </Button>
      }
    >
      <Text role="alert">
        This dog was changed elsewhere while you were editing it, and your changes are not saved yet. Choose
        which version to keep, or edit yours first.
      </Text>
      {FIELDS.map((field) => (
        <div className={classes.row} key={field}>
          <div>
            <div className={classes.label}>{`${LABELS[field]} (saved)`}</div>
            <p className={classes.theirs}>
              {theirs[field]}
              {changedFields.includes(field) && <mark className={classes.new}>changed</mark>}
            </p>
          </div>
          <TextInput
            label={`${LABELS[field]} (yours)`}
            autoComplete="off"
            autoFocus={field === "name"}
            {...form.getInputProps(field)}
          />
          {conflicts.includes(field) && (
            <Button
              className={classes.take}
              variant="default"
              size="compact-sm"
              onClick={() => {
                form.setFieldValue(field, theirs[field])
                form.getInputNode(field)?.focus() // this button will be removed
              }}
            >
              {`Use “${theirs[field]}”`}
            </Button>
          )}
        </div>
      ))}
    </ApiForm>
  )
}
