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
import { OtherWay } from "./auth-switch-link"

export default function SignupPage() {
  const { me } = useSession()
  const client = useQueryClient()
  const [query] = useSearchParams()
  const form = useForm({
    initialValues: { file: null as File | null, username: "", email: "", password: "" },
    // Only what is plainly missing, to save the upload. All else the server knows best.
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
          description="Others see it"
          autoComplete="username"
          autoCapitalize="none"
          spellCheck={false}
          {...form.getInputProps("username")}
        />
        <TextInput
          type="email"
          label="E-mail address"
          description="Only you see it"
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
      <OtherWay question="Have an account already?" to="/login" label="Log in" />
    </AuthCard>
  )
}
