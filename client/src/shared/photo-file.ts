/** What to offer in the file picker. A phone turns its own format into one of these. */
export const PHOTO_TYPES = "image/jpeg,image/png,image/webp,image/gif,image/avif"

const MOST_BYTES = 10 * 1024 * 1024

/** What is plainly wrong with a photo, to save the upload. Whether it is one at all, only the server can tell. */
export function photoProblem({ size }: File): string | undefined {
  return size > MOST_BYTES ? "This photo is larger than 10 MB. Choose a smaller one." : undefined
}
