import { Anchor, Text } from "@mantine/core"
import { Link, useLocation } from "react-router"

type Props = { question: string; to: string; label: string }

/** From the login page to the sign-up page and back, without losing where to go afterwards. */
export function OtherWay({ question, to, label }: Props) {
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
