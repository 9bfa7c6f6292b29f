import { PasswordInput, TextInput } from "@mantine/core"
import { useForm } from "@mantine/form"
import { useMutation } from "@tanstack/react-query"
import { answer, api } from "../api/client"
import type { User } from "../api/types"
import { ApiForm } from "../shared/api-form"
import { Section } from "./section"
import { unsaved } from "./unsaved"
import { useSaved } from "./use-saved"

export function EmailSection({ me }: { me: User }) {
  const isNew = (email: string) => email.trim().toLowerCase() !== me.email
  const { text, keep, forget } = unsaved("email", me)
  const form = useForm({
    initialValues: { email: text ?? me.email, current_password: "" },
    validate: {
      current_password: (password, { email }) => isNew(email) && !password && "Enter your current password.",
    },
  })
  const saved = useSaved()
  const save = useMutation({
    mutationFn: ({ email, current_password }: typeof form.values) =>
      answer(api.PATCH("/user/profile", { body: isNew(email) ? { email, current_password } : { email } })),
    onError: (error, { email }) => {
      keep(error, email)
    },
    onSuccess: ({ body }) => {
      forget()
      form.setValues({ email: body.data.email, current_password: "" })
      saved(body.data, "Your new e-mail address is saved.")
    },
  })
  return (
    <Section title="E-mail address" description="Only you see it. You can log in with it.">
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
            description="So that nobody else can take your account"
            autoComplete="current-password"
            {...form.getInputProps("current_password")}
          />
        )}
      </ApiForm>
    </Section>
  )
}
