/** Where the API is. The built client is served by the API itself, so there its paths begin with a slash. */
export const API_URL = import.meta.env.VITE_API_URL ?? (import.meta.env.DEV ? "http://localhost:8000" : "")
