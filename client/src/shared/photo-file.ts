/** The types that the file picker accepts. Phones convert their own format to one of these. */
export const PHOTO_TYPES = "image/jpeg,image/png,image/webp,image/gif,image/avif"

const MAX_BYTES = 10 * 1024 * 1024

/** Return an error message if a photo is too large, to avoid a needless upload. The server validates the rest. */
export function validatePhoto({ size }: File): string | undefined {
  return size > MAX_BYTES ? "This photo is larger than 10 MB. Choose a smaller one." : undefined
}
