import { TextInput } from "@mantine/core"
import { useForm } from "@mantine/form"
import { useMutation } from "@tanstack/react-query"
import { api, unwrap } from "../api/client"
import type { User } from "../api/types"
import { ApiForm } from "../shared/api-form"
import { Section } from "./section"
import { getDraft } from "./draft"
import { useHandleSaved } from "./use-handle-saved"

export function UsernameSection({ me }: { me: User }) {
  const { text, store, clear } = getDraft("username", me)
  const form = useForm({ mode: "uncontrolled", initialValues: { username: text ?? me.username } })
  const handleSaved = useHandleSaved()
  const save = useMutation({
    mutationFn: (values: typeof form.values) => unwrap(api.PATCH("/user/profile", { body: values })),
    onError: (error, { username }) => {
      store(error, username)
    },
    onSuccess: ({ body }) => {
      clear()
      form.setValues({ username: body.data.username })
      handleSaved(body.data, "Your new username is saved.")
    },
  })
  return (
    <Section title="Username" description="Visible to others. You can log in with it.">
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
