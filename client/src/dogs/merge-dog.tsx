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
  /** The dog as one began to edit it. */
  base: Dog
  /** The dog as it is now. */
  version: Version
  /** What one has typed in. */
  values: DogValues
  dialog: DogDialogState
}

/** Both versions of a dog that was changed elsewhere while one edited it, and the way to make one of them. */
export function MergeDog({ base, version, values, dialog }: Props) {
  const save = useSaveFromDialog(dialog, version, (values) => ({ kind: "merge", base, version, values }))
  const theirs = version.dog
  const form = useForm({ initialValues: merge(base, theirs, values) })
  const news = differences(base, theirs)
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
        It was saved elsewhere while you edited it, so yours is not saved yet. Choose which one to keep, or
        change yours first.
      </Text>
      {FIELDS.map((field) => (
        <div className={classes.row} key={field}>
          <div>
            <div className={classes.label}>{`${LABELS[field]} now`}</div>
            <p className={classes.theirs}>
              {theirs[field]}
              {news.includes(field) && <mark className={classes.new}>changed</mark>}
            </p>
          </div>
          <TextInput
            label={`${LABELS[field]}, yours`}
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
                form.getInputNode(field)?.focus() // this button is about to go
              }}
            >
              {`Take “${theirs[field]}”`}
            </Button>
          )}
        </div>
      ))}
    </ApiForm>
  )
}
