/// <reference types="vite/client" />

// eslint-disable-next-line @typescript-eslint/consistent-type-definitions -- it is merged into Vite's own
interface ImportMetaEnv {
  readonly VITE_API_URL?: string
}
