// The snout is light, the ears and the patch are dark.
const COATS = [
  { coat: "#e0ae6d", dark: "#bd8442", light: "#f8e6c9" },
  { coat: "#8f5e40", dark: "#69402a", light: "#dcbd9f" },
  { coat: "#efdfc5", dark: "#d0b184", light: "#fffaf0" },
  { coat: "#9ca3a8", dark: "#70777c", light: "#e6e9ea" },
  { coat: "#544d49", dark: "#332e2b", light: "#bfb2a6" },
  { coat: "#c9773f", dark: "#995225", light: "#f5d7b9" },
  { coat: "#f5f1ea", dark: "#8f5e40", light: "#ffffff" },
]
const BACKGROUNDS = ["#a9c48f", "#8fbdd0", "#e2a08c", "#e3c26f", "#b7a3d3", "#8cc4b1"]
const EARS = ["floppy", "pointed", "round"] as const

export type Ears = (typeof EARS)[number]

/** Choose the colors and shapes of a dog. Coat and ears depend on its breed, patch and background on its name. */
export function choosePortrait({ name, breed }: { name: string; breed: string }) {
  const kind = hashText(breed)
  const own = hashText(name)
  return {
    ...pick(COATS, kind),
    ears: pick(EARS, kind >>> 8),
    ground: pick(BACKGROUNDS, own),
    hasPatch: (own >>> 8) % 3 === 0,
  }
}

/** Return a case-insensitive hash (FNV-1a). */
function hashText(text: string): number {
  let hash = 0x811c9dc5
  for (const character of text.toLowerCase()) {
    hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193)
  }
  return hash >>> 0
}

function pick<T>(choices: readonly T[], number: number): T {
  return choices[number % choices.length] as T
}
