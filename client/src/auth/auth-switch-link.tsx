import { Anchor, Text } from "@mantine/core"
import { Link, useLocation } from "react-router"

type Props = { question: string; to: string; label: string }

/** The link between the login and sign-up pages. It keeps `?next=`. */
export function AuthSwitchLink({ question, to, label }: Props) {
  const { search } = useLocation()
  return (
    <Text size="sm">
      {question}{" "}
      <Anchor component={Link} inherit to={{ pathname: to, search }}>
        {label}
      </Anchor>
    </Text>
  )
}
