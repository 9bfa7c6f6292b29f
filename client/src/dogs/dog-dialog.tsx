import { Dialog } from "../shared/dialog"
import { AddDog } from "./add-dog"
import { EditDog } from "./edit-dog"
import { LoadDog } from "./load-dog"
import { MergeDog } from "./merge-dog"
import type { DogDialogState, DogTask } from "./use-dog-dialog"

/** The dialog to add or edit a dog. */
export default function DogDialog({ dialog }: { dialog: DogDialogState }) {
  const { task, isOpen, close } = dialog
  return (
    <Dialog isOpen={isOpen} onClose={close} title={getTitle(task)} size={task.kind === "merge" ? "lg" : "md"}>
      <Task task={task} dialog={dialog} />
    </Dialog>
  )
}

function Task({ task, dialog }: { task: DogTask; dialog: DogDialogState }) {
  switch (task.kind) {
    case "add":
      return <AddDog values={task.values} dialog={dialog} />
    case "load":
      return <LoadDog dog={task.dog} dialog={dialog} />
    case "edit":
      return <EditDog version={task.version} values={task.values} dialog={dialog} />
    case "merge":
      return <MergeDog key={task.version.etag} {...task} dialog={dialog} />
  }
}

function getTitle(task: DogTask): string {
  switch (task.kind) {
    case "add":
      return "Add a dog"
    case "load":
      return `Edit ${task.dog.name}`
    case "edit":
      return `Edit ${task.version.dog.name}`
    case "merge":
      return `${task.base.name} was changed in the meantime`
  }
}
