import { notifications } from "@mantine/notifications"
import { useQueryClient } from "@tanstack/react-query"
import type { User } from "../api/types"
import { updateMe } from "../session/session"

/** Return a callback for saved changes of the profile: it updates the user and shows a message. */
export function useHandleSaved(): (me: User, message: string) => void {
  const client = useQueryClient()
  return (me, message) => {
    updateMe(client, me)
    notifications.show({ message, role: "status" })
  }
}
