import { Stack } from "@mantine/core"
import { useSession } from "../session/session"
import { PageTitle } from "../shared/page-title"
import { DeleteSection } from "./delete-section"
import { EmailSection } from "./email-section"
import { PasswordSection } from "./password-section"
import { PhotoSection } from "./photo-section"
import { UsernameSection } from "./username-section"

export default function ProfilePage() {
  const { me } = useSession()
  if (!me) return null // `RequireLogin` is about to redirect
  return (
    <Stack maw={800} mx="auto">
      <PageTitle>Profile</PageTitle>
      <PhotoSection me={me} />
      <UsernameSection me={me} />
      <EmailSection me={me} />
      <PasswordSection me={me} />
      <DeleteSection />
    </Stack>
  )
}
