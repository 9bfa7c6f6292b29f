import type { components } from "./schema"

export type User = components["schemas"]["PrivateUser"]
export type Dog = components["schemas"]["Dog"]
