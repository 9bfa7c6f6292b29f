/// <reference types="vite/client" />

// eslint-disable-next-line @typescript-eslint/consistent-type-definitions -- merged with the interface of Vite
interface ImportMetaEnv {
  readonly VITE_API_URL?: string
}
