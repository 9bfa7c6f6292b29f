import { Button, FileButton, Group, Input, Stack, Text } from "@mantine/core"
import { IconPhotoPlus } from "@tabler/icons-react"
import { type DragEvent, type ReactNode, useRef, useState } from "react"
import { PHOTO_TYPES, validatePhoto } from "./photo-file"
import classes from "./photo-input.module.css"
import { PhotoPreview } from "./photo-preview"

type Props = {
  value: File | null
  onChange: (photo: File | null) => void
  error?: ReactNode
  /** Shown while no photo is chosen. */
  placeholder?: ReactNode
  /** Set by `useForm` to find the input. */
  "data-path"?: string
}

/** An input to choose or drop a photo, with a preview. */
export function PhotoInput({
  value: photo,
  onChange,
  error,
  placeholder = <IconPhotoPlus size={36} stroke={1.5} aria-hidden />,
  "data-path": path,
}: Props) {
  const [problem, setProblem] = useState<string>()
  const [isOver, setIsOver] = useState(false)
  const chooseButton = useRef<HTMLButtonElement>(null)
  const resetInput = useRef<() => void>(null)

  const choose = (file: File | null | undefined) => {
    resetInput.current?.() // so that the same file can be chosen again
    if (!file) return
    const error = validatePhoto(file)
    setProblem(error)
    if (!error) onChange(file)
  }
  const dropProps = {
    "data-over": isOver || undefined,
    onDragOver: (event: DragEvent) => {
      event.preventDefault() // allow dropping
      setIsOver(true)
    },
    onDragLeave: () => {
      setIsOver(false)
    },
    onDrop: (event: DragEvent) => {
      event.preventDefault()
      setIsOver(false)
      choose(event.dataTransfer.files[0])
    },
  }

  return (
    <Input.Wrapper label="Photo" labelElement="div" error={problem ?? error} errorProps={{ role: "alert" }}>
      <div className={classes.zone} {...dropProps}>
        <div className={classes.picture}>{photo ? <PhotoPreview photo={photo} /> : placeholder}</div>
        <Stack gap="xs" align="flex-start">
          <Group gap="xs">
            <FileButton accept={PHOTO_TYPES} onChange={choose} resetRef={resetInput}>
              {(props) => (
                <Button ref={chooseButton} variant="default" size="xs" data-path={path} {...props}>
                  {photo ? "Choose another" : "Choose a photo"}
                </Button>
              )}
            </FileButton>
            {photo && (
              <Button
                variant="subtle"
                color="gray"
                size="xs"
                onClick={() => {
                  setProblem(undefined)
                  onChange(null)
                  chooseButton.current?.focus() // this button will be removed
                }}
              >
                Remove
              </Button>
            )}
          </Group>
          <Text size="xs" c="dimmed">
            <span className={classes.dropHint}>Or drop one here. </span>
            JPEG, PNG, WebP, GIF, AVIF or HEIC, up to 10 MB.
          </Text>
        </Stack>
      </div>
    </Input.Wrapper>
  )
}
