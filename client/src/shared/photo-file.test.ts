import { expect, test } from "vitest"
import { validatePhoto } from "./photo-file"

const file = (size: number) => new File([new Uint8Array(size)], "photo.jpg")

test("accepts a photo of up to 10 MB", () => {
  expect(validatePhoto(file(10 * 1024 * 1024))).toBeUndefined()
})

test("rejects a larger photo", () => {
  expect(validatePhoto(file(10 * 1024 * 1024 + 1))).toContain("larger than 10 MB")
})
