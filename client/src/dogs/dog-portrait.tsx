import { choosePortrait, type Ears } from "./portrait"

const EARS: Record<Ears, string> = {
  floppy: "M19 12c-6-3-11 0-12.5 7-1.2 6 .5 11 3 12.5 3.5-1 5.5-6 6-12z",
  pointed: "M10.5 23c-1.5-7-1-13 .5-17.5 4.5 1.5 8.5 4.5 10.5 8.5z",
  round: "M19 12.5c-2-5-9-6-11-1-1.5 4 .5 9 4.5 10.5z",
}
const INK = "#211a16"

type Props = { name: string; breed: string; size?: number }

/** A small drawing of a dog, derived from its name and breed. It is decorative, so screen readers skip it. */
export function DogPortrait({ name, breed, size = 56 }: Props) {
  const { coat, dark, light, ground, ears, hasPatch } = choosePortrait({ name, breed })
  return (
    <svg width={size} height={size} viewBox="0 0 48 48" aria-hidden>
      <rect width="48" height="48" rx="14" fill={ground} opacity="0.45" />
      <path d={EARS[ears]} fill={dark} />
      <path d={EARS[ears]} fill={dark} transform="matrix(-1 0 0 1 48 0)" />
      <path d="M24 10c8 0 12.5 5.5 12.5 13S32 40 24 40 11.5 30.5 11.5 23 16 10 24 10z" fill={coat} />
      {hasPatch && <ellipse cx="29.5" cy="22" rx="4.8" ry="5.6" fill={dark} />}
      <ellipse cx="24" cy="32" rx="7.5" ry="6.5" fill={light} />
      <g fill={INK}>
        <circle cx="18.5" cy="22.5" r="1.9" />
        <circle cx="29.5" cy="22.5" r="1.9" />
        <ellipse cx="24" cy="28.8" rx="3" ry="2.2" />
      </g>
      <g fill="#fff">
        <circle cx="19.2" cy="21.8" r="0.6" />
        <circle cx="30.2" cy="21.8" r="0.6" />
      </g>
      <path
        d="M24 31v2.5m-4 .5c1.5 1.5 3.5 1 4-.5.5 1.5 2.5 2 4 .5"
        fill="none"
        stroke={INK}
        strokeWidth="1.2"
        strokeLinecap="round"
      />
    </svg>
  )
}
