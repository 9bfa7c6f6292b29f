import { useMutation } from "@tanstack/react-query"
import { useRef, useState } from "react"
import type { User } from "../api/types"
import { upload, type UploadTarget } from "../api/upload"

/** A mutation that sends a form's values, a photo among them. `percent` says how much of it has been sent. */
export function useUpload<Values extends Record<string, string | File | null>>(
  target: UploadTarget,
  onSuccess: (user: User) => void,
) {
  const [percent, setPercent] = useState(0)
  const controller = useRef<AbortController>(null)
  const mutation = useMutation({
    mutationFn: (values: Values) => {
      const form = new FormData()
      for (const [name, value] of Object.entries(values)) if (value) form.append(name, value)
      setPercent(0)
      controller.current = new AbortController()
      return upload(target, form, { onProgress: setPercent, signal: controller.current.signal })
    },
    onSuccess,
  })
  const cancel = () => {
    mutation.reset() // so that it does not fail either
    controller.current?.abort()
  }
  return { mutation, percent, cancel }
}
