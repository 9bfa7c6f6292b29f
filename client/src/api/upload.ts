import { connectionLost } from "./connection"
import { errorOf, offlineError } from "./errors"
import type { User } from "./types"
import { API_URL } from "./url"

type Target = { method: "POST"; path: "/user/register" } | { method: "PUT"; path: "/user/picture" }

/**
 * Send a form with a picture; `onProgress` is told the percentage that has been sent. Throws an `ApiError`.
 *
 * By XMLHttpRequest, since `fetch` can't tell how much it has sent.
 */
export function upload(
  { method, path }: Target,
  form: FormData,
  onProgress: (percent: number) => void,
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
    request.send(form)
  })
}
