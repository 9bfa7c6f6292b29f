import type { ApiError } from "../api/errors"
import type { User } from "../api/types"

const drafts = new Map<string, string>()

/** The text of a field that this user could not save since the session had expired; null if there is none. */
export function getDraft(field: string, { id }: User) {
  const key = `${id} ${field}`
  return {
    text: drafts.get(key) ?? null,
    /** Call this when saving failed. */
    store: ({ status }: ApiError, text: string) => {
      if (status === 401) drafts.set(key, text)
    },
    clear: () => {
      drafts.delete(key)
    },
  }
}
