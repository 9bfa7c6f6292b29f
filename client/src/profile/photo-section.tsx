import { Button } from "@mantine/core"
import { useForm } from "@mantine/form"
import { useMutation } from "@tanstack/react-query"
import { useState } from "react"
import { answer, api } from "../api/client"
import type { User } from "../api/types"
import { upload } from "../api/upload"
import { ApiForm } from "../shared/api-form"
import { FormError } from "../shared/form-error"
import { PhotoInput } from "../shared/photo-input"
import { UploadProgress } from "../shared/upload-progress"
import { Section } from "./section"
import { useSaved } from "./use-saved"

export function PhotoSection({ me }: { me: User }) {
  const [progress, setProgress] = useState(0)
  const saved = useSaved()
  const form = useForm({
    initialValues: { file: null as File | null },
    validate: { file: (file) => !file && "Choose a photo first." },
  })
  const replace = useMutation({
    mutationFn: ({ file }: typeof form.values) => {
      const data = new FormData()
      if (file) data.append("file", file)
      setProgress(0)
      return upload({ method: "PUT", path: "/user/picture" }, data, setProgress)
    },
    onSuccess: (user) => {
      form.reset()
      saved(user, "Your new photo is saved.")
    },
  })
  const remove = useMutation({
    mutationFn: () => answer(api.DELETE("/user/picture")),
    onSuccess: ({ body }) => {
      saved(body.data, "Your photo is gone.")
    },
  })
  const { url, srcset, width, height, is_default: isDefault } = me.picture

  return (
    <Section title="Photo" description="Others see it beside your name.">
      <ApiForm
        form={form}
        mutation={replace}
        submit="Save photo"
        others={
          !isDefault && (
            <Button
              variant="default"
              onClick={() => {
                remove.mutate()
              }}
            >
              Remove photo
            </Button>
          )
        }
      >
        <FormError error={remove.error} />
        <PhotoInput
          {...form.getInputProps("file")}
          value={form.values.file}
          placeholder={<img src={url} srcSet={srcset} width={width} height={height} alt="Your photo" />}
        />
        {replace.isPending && <UploadProgress percent={progress} />}
      </ApiForm>
    </Section>
  )
}
