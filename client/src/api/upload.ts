import { connectionLost } from "./connection"
import { errorOf, offlineError } from "./errors"
import type { User } from "./types"
import { API_URL } from "./url"

export type UploadTarget =
  { method: "POST"; path: "/user/register" } | { method: "PUT"; path: "/user/picture" }

type Options = { onProgress: (percent: number) => void; signal: AbortSignal }

/**
 * Send a form with a photo; `onProgress` is told how much of it has been sent. Throws an `ApiError`.
 *
 * By XMLHttpRequest, since `fetch` can't tell how much it has sent.
 */
export function upload(
  { method, path }: UploadTarget,
  form: FormData,
  { onProgress, signal }: Options,
): Promise<User> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest()
    request.open(method, API_URL + path)
    request.withCredentials = true
    request.responseType = "json"
    request.upload.onprogress = ({ loaded, total }) => {
      onProgress(Math.round((loaded / total) * 100))
    }
    request.onload = () => {
      if (request.status < 300) resolve((request.response as { data: User }).data)
      else reject(errorOf(request.status, request.response, request.getResponseHeader("Retry-After")))
    }
    request.onerror = () => {
      connectionLost()
      reject(offlineError())
    }
    request.onabort = () => {
      reject(new DOMException("The upload was stopped.", "AbortError"))
    }
    signal.addEventListener("abort", () => {
      request.abort()
    })
    request.send(form)
  })
}
