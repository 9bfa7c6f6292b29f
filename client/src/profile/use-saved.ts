import { notifications } from "@mantine/notifications"
import { useQueryClient } from "@tanstack/react-query"
import type { User } from "../api/types"
import { updateMe } from "../session/session"

/** What to do when a part of the profile has been saved: show the newest version of the user, and say so. */
export function useSaved(): (me: User, message: string) => void {
  const client = useQueryClient()
  return (me, message) => {
    updateMe(client, me)
    notifications.show({ message, role: "status" })
  }
}
