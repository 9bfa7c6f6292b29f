import { expect, test } from "vitest"
import { photoProblem } from "./photo-file"

const file = (size: number) => new File([new Uint8Array(size)], "photo.jpg")

test("a photo of up to 10 MB is left to the server", () => {
  expect(photoProblem(file(10 * 1024 * 1024))).toBeUndefined()
})

test("a larger one is not sent", () => {
  expect(photoProblem(file(10 * 1024 * 1024 + 1))).toContain("larger than 10 MB")
})
