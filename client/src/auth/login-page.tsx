import { Alert, Checkbox, PasswordInput, TextInput } from "@mantine/core"
import { isNotEmpty, useForm } from "@mantine/form"
import { useMutation, useQueryClient } from "@tanstack/react-query"
import { Navigate, useLocation, useSearchParams } from "react-router"
import { api, unwrap } from "../api/client"
import { type LoginReason, safeNext } from "../session/next-path"
import { changeSession, useSession } from "../session/session"
import { ApiForm } from "../shared/api-form"
import { PageTitle } from "../shared/page-title"
import { AuthCard } from "./auth-card"
import { AuthSwitchLink } from "./auth-switch-link"

const REASONS: Record<LoginReason, string> = {
  required: "Log in to see that page.",
  expired: "Your session has expired. Log in again to continue.",
}

export default function LoginPage() {
  const { me } = useSession()
  const client = useQueryClient()
  const [query] = useSearchParams()
  const reason = useLocation().state as LoginReason | null
  const form = useForm({
    mode: "uncontrolled",
    // The e-mail address or the username.
    initialValues: { email: "", password: "", remember: false },
    validate: {
      email: isNotEmpty("Enter your e-mail address or username."),
      password: isNotEmpty("Enter your password."),
    },
  })
  const logIn = useMutation({
    mutationFn: ({ email: account, ...others }: typeof form.values) => {
      const identifier = account.includes("@") ? { email: account } : { username: account }
      return unwrap(api.POST("/user/login", { body: { ...identifier, ...others } }))
    },
    onSuccess: ({ body }) => {
      changeSession(client, body.data)
    },
  })

  if (me) return <Navigate to={safeNext(query.get("next"))} replace />
  return (
    <AuthCard>
      <PageTitle>Log in</PageTitle>
      {reason && !logIn.error && <Alert>{REASONS[reason]}</Alert>}
      <ApiForm form={form} mutation={logIn} submit="Log in" submitProps={{ fullWidth: true }}>
        <TextInput
          label="E-mail address or username"
          autoComplete="username"
          autoCapitalize="none"
          spellCheck={false}
          key={form.key("email")}
          {...form.getInputProps("email")}
        />
        <PasswordInput
          label="Password"
          autoComplete="current-password"
          key={form.key("password")}
          {...form.getInputProps("password")}
        />
        <Checkbox
          label="Remember me"
          description="Stay logged in for 30 days on this device"
          key={form.key("remember")}
          {...form.getInputProps("remember", { type: "checkbox" })}
        />
      </ApiForm>
      <AuthSwitchLink question="New here?" to="/signup" label="Sign up" />
    </AuthCard>
  )
}
