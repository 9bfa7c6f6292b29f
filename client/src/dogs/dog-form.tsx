import { Button, TextInput } from "@mantine/core"
import { useForm } from "@mantine/form"
import type { ReactNode } from "react"
import { useSession } from "../session/session"
import { ApiForm } from "../shared/api-form"
import type { DogValues } from "./merge"
import type { useAddDog, useSaveDog } from "./use-dogs"

type Props = {
  values: DogValues
  mutation: ReturnType<typeof useAddDog | typeof useSaveDog>
  submit: string
  /** Shown above the inputs. */
  notice?: ReactNode
  onCancel: () => void
}

/** The form of a dog. */
export function DogForm({ values: { name, breed, owner }, mutation, submit, notice, onCancel }: Props) {
  const { me } = useSession()
  const form = useForm({ mode: "uncontrolled", initialValues: { name, breed, owner } })
  return (
    <ApiForm
      form={form}
      mutation={mutation}
      submit={submit}
      others={
        <Button variant="default" onClick={onCancel}>
          Cancel
        </Button>
      }
    >
      {notice}
      <TextInput
        label="Name"
        autoComplete="off"
        autoFocus // it may be rendered after the dialog opened
        data-autofocus
        key={form.key("name")}
        {...form.getInputProps("name")}
      />
      <TextInput label="Breed" autoComplete="off" key={form.key("breed")} {...form.getInputProps("breed")} />
      <TextInput
        label="Owner"
        description="Leave empty if you are the owner"
        placeholder={me?.username}
        autoComplete="off"
        key={form.key("owner")}
        {...form.getInputProps("owner")}
      />
    </ApiForm>
  )
}
