import { useCallback } from "react"
import classes from "./photo-preview.module.css"

/** A preview of a local photo. */
export function PhotoPreview({ photo }: { photo: File }) {
  const show = useCallback(
    (image: HTMLImageElement) => {
      const url = URL.createObjectURL(photo)
      image.src = url
      return () => {
        URL.revokeObjectURL(url)
      }
    },
    [photo],
  )
  return <img ref={show} className={classes.preview} alt={`Preview of ${photo.name}`} />
}
