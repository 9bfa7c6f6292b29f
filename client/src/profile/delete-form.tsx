import { Button, PasswordInput, Text } from "@mantine/core"
import { isNotEmpty, useForm } from "@mantine/form"
import { notifications } from "@mantine/notifications"
import { useMutation, useQueryClient } from "@tanstack/react-query"
import { useNavigate } from "react-router"
import { api, unwrap } from "../api/client"
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
  const deleteAccount = useMutation({
    mutationFn: (values: typeof form.values) => unwrap(api.DELETE("/user/profile", { body: values })),
    onSuccess: () => {
      // First leave this page, which requires a login.
      void navigate("/")
      changeSession(client, null)
      notifications.show({ message: "Your account was deleted.", role: "status" })
    },
  })
  return (
    <ApiForm
      form={form}
      mutation={deleteAccount}
      submit="Delete account"
      submitProps={{ color: "red" }}
      others={
        <Button variant="default" onClick={onCancel}>
          Cancel
        </Button>
      }
    >
      <Text>
        This deletes your profile, your photo and all dogs that you added, and logs you out on all devices. It
        can't be undone.
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
