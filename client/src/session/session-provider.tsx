import { QueryClientProvider } from "@tanstack/react-query"
import { type ReactNode, useEffect, useState } from "react"
import { useNavigate } from "react-router"
import { createQueryClient } from "../api/query-client"
import { loginPath, type LoginReason } from "./next-path"
import { followOtherTabs, forgetSession } from "./session"

/** Gives its children TanStack Query, and leads to the login page when the session has ended elsewhere. */
export function SessionProvider({ children }: { children: ReactNode }) {
  const navigate = useNavigate()
  const [client] = useState(() =>
    createQueryClient((client) => {
      if (forgetSession(client)) {
        void navigate(loginPath(window.location), { state: "ended" satisfies LoginReason })
      }
    }),
  )
  useEffect(() => followOtherTabs(client), [client])
  return <QueryClientProvider client={client}>{children}</QueryClientProvider>
}
