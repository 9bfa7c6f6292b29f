import { useMutation } from "@tanstack/react-query"
import { useRef, useState } from "react"
import type { User } from "../api/types"
import { upload, type UploadTarget } from "../api/upload"

/** A mutation that submits a form with a photo. `percent` is its progress. */
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
    mutation.reset() // so that the abort is not reported as an error
    controller.current?.abort()
  }
  return { mutation, percent, cancel }
}
