import { PasswordInput } from "@mantine/core"
import { isNotEmpty, useForm } from "@mantine/form"
import { useMutation } from "@tanstack/react-query"
import { api, unwrap } from "../api/client"
import type { User } from "../api/types"
import { ApiForm } from "../shared/api-form"
import { Section } from "./section"
import { useHandleSaved } from "./use-handle-saved"

export function PasswordSection({ me }: { me: User }) {
  const form = useForm({
    mode: "uncontrolled",
    initialValues: { current_password: "", new_password: "" },
    validate: {
      current_password: isNotEmpty("Enter your current password."),
      new_password: isNotEmpty("Enter a new password."),
    },
  })
  const handleSaved = useHandleSaved()
  const save = useMutation({
    mutationFn: (values: typeof form.values) => unwrap(api.PUT("/user/password", { body: values })),
    onSuccess: ({ body }) => {
      form.reset()
      handleSaved(body.data, "Your new password is saved. All other devices are logged out.")
    },
  })
  return (
    <Section title="Password" description="You stay logged in here. All other devices are logged out.">
      <ApiForm form={form} mutation={save} submit="Save password">
        {/* For password managers. */}
        <input type="text" autoComplete="username" value={me.username} readOnly hidden />
        <PasswordInput
          label="Current password"
          autoComplete="current-password"
          key={form.key("current_password")}
          {...form.getInputProps("current_password")}
        />
        <PasswordInput
          label="New password"
          description="8 to 256 characters"
          autoComplete="new-password"
          key={form.key("new_password")}
          {...form.getInputProps("new_password")}
        />
      </ApiForm>
    </Section>
  )
}
