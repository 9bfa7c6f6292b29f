import { Skeleton } from "@mantine/core"
import classes from "./dog-list.module.css"

/** Shown while the first dogs load. */
export function DogListSkeleton() {
  return (
    <div className={classes.list} role="status" aria-label="Loading dogs">
      {Array.from({ length: 9 }, (_, index) => (
        <Skeleton key={index} h={108} radius="lg" />
      ))}
    </div>
  )
}
