import { Button, PasswordInput, Text } from "@mantine/core"
import { isNotEmpty, useForm } from "@mantine/form"
import { notifications } from "@mantine/notifications"
import { useMutation, useQueryClient } from "@tanstack/react-query"
import { useNavigate } from "react-router"
import { answer, api } from "../api/client"
import { changeSession } from "../session/session"
import { ApiForm } from "../shared/api-form"

export function DeleteForm({ onCancel }: { onCancel: () => void }) {
  const navigate = useNavigate()
  const client = useQueryClient()
  const form = useForm({
    mode: "uncontrolled",
    initialValues: { current_password: "" },
    validate: { current_password: isNotEmpty("Enter your current password.") },
  })
  const erase = useMutation({
    mutationFn: (values: typeof form.values) => answer(api.DELETE("/user/profile", { body: values })),
    onSuccess: () => {
      // First away from this page, which would ask for a login.
      void navigate("/")
      changeSession(client, null)
      notifications.show({ message: "Your account is gone. Goodbye!", role: "status" })
    },
  })
  return (
    <ApiForm
      form={form}
      mutation={erase}
      submit="Delete account"
      submitProps={{ color: "red" }}
      others={
        <Button variant="default" onClick={onCancel}>
          Keep it
        </Button>
      }
    >
      <Text>
        Your profile, your photo and all dogs that you have added will be gone, and you are logged out
        everywhere. This can't be undone.
      </Text>
      <PasswordInput
        label="Current password"
        autoComplete="current-password"
        data-autofocus
        key={form.key("current_password")}
        {...form.getInputProps("current_password")}
      />
    </ApiForm>
  )
}
