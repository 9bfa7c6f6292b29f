import { expect, test } from "vitest"
import { photoProblem } from "./photo-file"

const file = (size: number, type: string) => new File([new Uint8Array(size)], "photo", { type })

test("a photo of up to 10 MB is left to the server", () => {
  expect(photoProblem(file(10 * 1024 * 1024, "image/jpeg"))).toBeUndefined()
})

test.each([
  [10 * 1024 * 1024 + 1, "image/jpeg", "larger than 10 MB"],
  [1000, "application/pdf", "JPEG, PNG"],
])("%i bytes of %s are not sent", (size, type, problem) => {
  expect(photoProblem(file(size, type))).toContain(problem)
})
