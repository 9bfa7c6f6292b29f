import type { ApiError } from "../api/errors"
import type { User } from "../api/types"

const kept = new Map<string, string>()

/** What its user had typed into a field and could not save since the session had ended. Without one, null. */
export function unsaved(field: string, { id }: User) {
  const key = `${id} ${field}`
  return {
    text: kept.get(key) ?? null,
    /** Call this when saving has failed. */
    keep: ({ status }: ApiError, text: string) => {
      if (status === 401) kept.set(key, text)
    },
    forget: () => {
      kept.delete(key)
    },
  }
}
