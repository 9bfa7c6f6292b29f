import { Title } from "@mantine/core"
import { type ReactNode, useEffect, useRef } from "react"
import classes from "./page-title.module.css"

let isFirstPage = true

/** The heading of a page and title of its tab. It gets the focus on navigation, so that screen readers start here. */
export function PageTitle({ children }: { children: string }): ReactNode {
  const heading = useRef<HTMLHeadingElement>(null)
  useEffect(() => {
    document.title = `${children} · Kennel`
  }, [children])
  useEffect(() => {
    // Not on the first page, where the browser starts at the top.
    if (!isFirstPage) heading.current?.focus({ preventScroll: true })
    isFirstPage = false
  }, [])
  return (
    <Title order={1} ref={heading} tabIndex={-1} className={classes.title}>
      {children}
    </Title>
  )
}
