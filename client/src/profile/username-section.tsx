import { TextInput } from "@mantine/core"
import { useForm } from "@mantine/form"
import { useMutation } from "@tanstack/react-query"
import { answer, api } from "../api/client"
import type { User } from "../api/types"
import { ApiForm } from "../shared/api-form"
import { Section } from "./section"
import { unsaved } from "./unsaved"
import { useSaved } from "./use-saved"

export function UsernameSection({ me }: { me: User }) {
  const { text, keep, forget } = unsaved("username", me)
  const form = useForm({ mode: "uncontrolled", initialValues: { username: text ?? me.username } })
  const saved = useSaved()
  const save = useMutation({
    mutationFn: (values: typeof form.values) => answer(api.PATCH("/user/profile", { body: values })),
    onError: (error, { username }) => {
      keep(error, username)
    },
    onSuccess: ({ body }) => {
      forget()
      form.setValues({ username: body.data.username })
      saved(body.data, "Your new username is saved.")
    },
  })
  return (
    <Section title="Username" description="Others see it, and you can log in with it.">
      <ApiForm form={form} mutation={save} submit="Save username">
        <TextInput
          label="Username"
          autoComplete="username"
          autoCapitalize="none"
          spellCheck={false}
          key={form.key("username")}
          {...form.getInputProps("username")}
        />
      </ApiForm>
    </Section>
  )
}
