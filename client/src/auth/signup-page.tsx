import { PasswordInput, TextInput } from "@mantine/core"
import { isNotEmpty, useForm } from "@mantine/form"
import { useQueryClient } from "@tanstack/react-query"
import { Navigate, useSearchParams } from "react-router"
import { safeNext } from "../session/next-path"
import { changeSession, useSession } from "../session/session"
import { ApiForm } from "../shared/api-form"
import { PageTitle } from "../shared/page-title"
import { PhotoInput } from "../shared/photo-input"
import { UploadProgress } from "../shared/upload-progress"
import { useUpload } from "../shared/use-upload"
import { AuthCard } from "./auth-card"
import { AuthSwitchLink } from "./auth-switch-link"

export default function SignupPage() {
  const { me } = useSession()
  const client = useQueryClient()
  const [query] = useSearchParams()
  const form = useForm({
    initialValues: { file: null as File | null, username: "", email: "", password: "" },
    // Only required fields are validated here, to avoid a needless upload. The server validates the rest.
    validate: {
      username: isNotEmpty("Enter a username."),
      email: isNotEmpty("Enter your e-mail address."),
      password: isNotEmpty("Enter a password."),
    },
  })
  const signUp = useUpload<typeof form.values>({ method: "POST", path: "/user/register" }, (user) => {
    changeSession(client, user)
  })

  if (me) return <Navigate to={safeNext(query.get("next"))} replace />
  return (
    <AuthCard>
      <PageTitle>Sign up</PageTitle>
      <ApiForm form={form} mutation={signUp.mutation} submit="Sign up" submitProps={{ fullWidth: true }}>
        <PhotoInput {...form.getInputProps("file")} value={form.values.file} />
        <TextInput
          label="Username"
          description="Visible to others"
          autoComplete="username"
          autoCapitalize="none"
          spellCheck={false}
          {...form.getInputProps("username")}
        />
        <TextInput
          type="email"
          label="E-mail address"
          description="Only visible to you"
          autoComplete="email"
          {...form.getInputProps("email")}
        />
        <PasswordInput
          label="Password"
          description="8 to 256 characters"
          autoComplete="new-password"
          {...form.getInputProps("password")}
        />
        {signUp.mutation.isPending && form.values.file && (
          <UploadProgress percent={signUp.percent} onCancel={signUp.cancel} />
        )}
      </ApiForm>
      <AuthSwitchLink question="Already have an account?" to="/login" label="Log in" />
    </AuthCard>
  )
}
