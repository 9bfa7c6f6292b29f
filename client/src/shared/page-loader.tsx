import { Center, Loader } from "@mantine/core"

/** Shown while a page loads. */
export function PageLoader() {
  return (
    <Center mih="40vh">
      <Loader aria-label="Loading" />
    </Center>
  )
}
