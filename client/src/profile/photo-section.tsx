import { Button } from "@mantine/core"
import { useForm } from "@mantine/form"
import { useMutation } from "@tanstack/react-query"
import { api, unwrap } from "../api/client"
import type { User } from "../api/types"
import { ApiForm } from "../shared/api-form"
import { FormError } from "../shared/form-error"
import { PhotoInput } from "../shared/photo-input"
import { UploadProgress } from "../shared/upload-progress"
import { useUpload } from "../shared/use-upload"
import { Section } from "./section"
import { useHandleSaved } from "./use-handle-saved"

export function PhotoSection({ me }: { me: User }) {
  const handleSaved = useHandleSaved()
  const form = useForm({
    initialValues: { file: null as File | null },
    validate: { file: (file) => !file && "Choose a photo first." },
  })
  const replace = useUpload<typeof form.values>({ method: "PUT", path: "/user/picture" }, (user) => {
    form.reset()
    handleSaved(user, "Your new photo is saved.")
  })
  const remove = useMutation({
    mutationFn: () => unwrap(api.DELETE("/user/picture")),
    onSuccess: ({ body }) => {
      handleSaved(body.data, "Your photo was removed.")
      form.getInputNode("file")?.focus() // the button that had it is removed
    },
  })
  const { url, srcset, width, height, is_default: isDefault } = me.picture

  return (
    <Section title="Photo" description="Visible to others, next to your name.">
      <ApiForm
        form={form}
        mutation={replace.mutation}
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
        {replace.mutation.isPending && <UploadProgress percent={replace.percent} onCancel={replace.cancel} />}
      </ApiForm>
    </Section>
  )
}
