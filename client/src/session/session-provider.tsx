import { QueryClientProvider } from "@tanstack/react-query"
import { type ReactNode, useEffect, useState } from "react"
import { useNavigate } from "react-router"
import { createQueryClient } from "../api/query-client"
import { loginPath, type LoginReason } from "./next-path"
import { forgetSession, subscribeToOtherTabs } from "./session"

/** Provide TanStack Query, and redirect to the login page when the session has expired. */
export function SessionProvider({ children }: { children: ReactNode }) {
  const navigate = useNavigate()
  const [client] = useState(() =>
    createQueryClient((client) => {
      if (forgetSession(client)) {
        void navigate(loginPath(window.location), { state: "expired" satisfies LoginReason })
      }
    }),
  )
  useEffect(() => subscribeToOtherTabs(client), [client])
  return <QueryClientProvider client={client}>{children}</QueryClientProvider>
}
