import { Button } from "@mantine/core"
import { useDisclosure } from "@mantine/hooks"
import { Dialog } from "../shared/dialog"
import { DeleteForm } from "./delete-form"
import { Section } from "./section"

export function DeleteSection() {
  const [isOpen, { open, close }] = useDisclosure()
  return (
    <Section
      title="Delete account"
      description="This also deletes your profile, your photo and all dogs that you added."
    >
      <Button color="red" variant="outline" onClick={open}>
        Delete account…
      </Button>
      <Dialog isOpen={isOpen} onClose={close} title="Delete your account?">
        <DeleteForm onCancel={close} />
      </Dialog>
    </Section>
  )
}
