import { notifications } from "@mantine/notifications"
import type { ReactNode } from "react"
import { DogForm } from "./dog-form"
import type { DogValues } from "./merge"
import type { DogDialogState } from "./use-dog-dialog"
import { useAddDog } from "./use-dogs"

const EMPTY: DogValues = { name: "", breed: "", owner: "" }

type Props = {
  values?: DogValues | undefined
  submit?: string
  notice?: ReactNode
  dialog: DogDialogState
}

export function AddDog({ values = EMPTY, submit = "Add", notice, dialog }: Props) {
  const add = useAddDog({
    onMutate: (values) => {
      dialog.keep({ kind: "add", values })
    },
    onSuccess: ({ dog }) => {
      dialog.close()
      notifications.show({ message: `${dog.name} was added.`, role: "status" })
    },
  })
  return <DogForm values={values} mutation={add} submit={submit} notice={notice} onCancel={dialog.close} />
}
