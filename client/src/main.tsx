import { setNonce } from "get-nonce"
import { StrictMode } from "react"
import { createRoot } from "react-dom/client"
import { App } from "./app"
import { nonce } from "./nonce"
import "./styles/mantine.css"

// For react-remove-scroll, which Mantine's dialogs use.
if (nonce) setNonce(nonce)

const root = document.getElementById("root")
if (!root) throw new Error("index.html has no #root")
createRoot(root).render(
  <StrictMode>
    <App />
  </StrictMode>,
)
