/** What the API takes. A phone turns its own format into one of these when it is asked for them. */
export const PHOTO_TYPES = ["image/jpeg", "image/png", "image/webp", "image/gif", "image/avif"]

const MOST_BYTES = 10 * 1024 * 1024

/** What is plainly wrong with a photo, to save the upload. Whether it is a good one, only the server can tell. */
export function photoProblem({ size, type }: File): string | undefined {
  if (!PHOTO_TYPES.includes(type)) return "Choose a JPEG, PNG, WebP, GIF or AVIF picture."
  if (size > MOST_BYTES) return "This photo is larger than 10 MB. Choose a smaller one."
}
