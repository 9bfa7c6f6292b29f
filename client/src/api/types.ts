import type { components } from "./schema"

export type User = components["schemas"]["OwnUser"]
export type Dog = components["schemas"]["Dog"]
