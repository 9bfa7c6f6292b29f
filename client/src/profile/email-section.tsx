import { PasswordInput, TextInput } from "@mantine/core"
import { useForm } from "@mantine/form"
import { useMutation } from "@tanstack/react-query"
import { api, unwrap } from "../api/client"
import type { User } from "../api/types"
import { ApiForm } from "../shared/api-form"
import { Section } from "./section"
import { getDraft } from "./draft"
import { useHandleSaved } from "./use-handle-saved"

export function EmailSection({ me }: { me: User }) {
  const isNew = (email: string) => email.trim().toLowerCase() !== me.email
  const { text, store, clear } = getDraft("email", me)
  const form = useForm({
    initialValues: { email: text ?? me.email, current_password: "" },
    validate: {
      current_password: (password, { email }) => isNew(email) && !password && "Enter your current password.",
    },
  })
  const handleSaved = useHandleSaved()
  const save = useMutation({
    mutationFn: ({ email, current_password }: typeof form.values) =>
      unwrap(api.PATCH("/user/profile", { body: isNew(email) ? { email, current_password } : { email } })),
    onError: (error, { email }) => {
      store(error, email)
    },
    onSuccess: ({ body }) => {
      clear()
      form.setValues({ email: body.data.email, current_password: "" })
      handleSaved(body.data, "Your new e-mail address is saved.")
    },
  })
  return (
    <Section title="E-mail address" description="Only visible to you. You can log in with it.">
      <ApiForm form={form} mutation={save} submit="Save e-mail address">
        <TextInput
          type="email"
          label="E-mail address"
          autoComplete="email"
          {...form.getInputProps("email")}
        />
        {isNew(form.values.email) && (
          <PasswordInput
            label="Current password"
            description="Required to change your e-mail address"
            autoComplete="current-password"
            {...form.getInputProps("current_password")}
          />
        )}
      </ApiForm>
    </Section>
  )
}
