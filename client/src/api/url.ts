/** The base URL of the API: `VITE_API_URL`, or by default the server of `make run`. It serves the built client itself. */
export const API_URL = import.meta.env.VITE_API_URL ?? (import.meta.env.DEV ? "http://localhost:8000" : "")
