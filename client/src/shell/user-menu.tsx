import { Menu, UnstyledButton } from "@mantine/core"
import { notifications } from "@mantine/notifications"
import { IconLogout, IconUser } from "@tabler/icons-react"
import { useMutation, useQueryClient } from "@tanstack/react-query"
import { Link, useNavigate } from "react-router"
import { api, unwrap } from "../api/client"
import type { User } from "../api/types"
import { changeSession } from "../session/session"
import { UserPicture } from "./user-picture"

/** The menu of the current user. */
export default function UserMenu({ me }: { me: User }) {
  const navigate = useNavigate()
  const client = useQueryClient()
  const logOut = useMutation({
    mutationFn: () => unwrap(api.POST("/user/logout")),
    onSuccess: () => {
      // First leave the page, since it may require a login.
      void navigate("/")
      changeSession(client, null)
    },
    onError: (error) => {
      notifications.show({ color: "red", title: "You are still logged in", message: error.message })
    },
  })
  return (
    <Menu position="bottom-end" width={200} withinPortal={false} withInitialFocusPlaceholder={false}>
      <Menu.Target>
        <UnstyledButton aria-label={`Account of ${me.username}`} bdrs="50%">
          <UserPicture user={me} />
        </UnstyledButton>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>{me.username}</Menu.Label>
        <Menu.Item component={Link} to="/profile" leftSection={<IconUser size={16} aria-hidden />}>
          Profile
        </Menu.Item>
        <Menu.Item
          leftSection={<IconLogout size={16} aria-hidden />}
          onClick={() => {
            logOut.mutate()
          }}
        >
          Log out
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  )
}
