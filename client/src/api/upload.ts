import { reportConnectionLost } from "./connection"
import { offlineError, toApiError } from "./errors"
import type { User } from "./types"
import { API_URL } from "./url"

export type UploadTarget =
  { method: "POST"; path: "/user/register" } | { method: "PUT"; path: "/user/picture" }

type Options = { onProgress: (percent: number) => void; signal: AbortSignal }

/**
 * Send a form with a photo, and report the progress in percent to `onProgress`. Throws an `ApiError`.
 *
 * This uses XMLHttpRequest, since `fetch` does not report upload progress.
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
      else reject(toApiError(request.status, request.response, request.getResponseHeader("Retry-After")))
    }
    request.onerror = () => {
      reportConnectionLost()
      reject(offlineError())
    }
    request.onabort = () => {
      reject(new DOMException("The upload was canceled.", "AbortError"))
    }
    signal.addEventListener("abort", () => {
      request.abort()
    })
    request.send(form)
  })
}
