import { Button } from "@mantine/core"
import { IconPlus } from "@tabler/icons-react"
import type { DogDialogState } from "./use-dog-dialog"

export function AddButton({ dialog }: { dialog: DogDialogState }) {
  return (
    <Button
      leftSection={<IconPlus size={18} aria-hidden />}
      onClick={() => {
        dialog.show({ kind: "add" })
      }}
    >
      Add a dog
    </Button>
  )
}
