import { ActionIcon, type MantineColorScheme, useMantineColorScheme } from "@mantine/core"
import { IconMoon, IconSun, IconSunMoon } from "@tabler/icons-react"

const SCHEMES = {
  auto: { Icon: IconSunMoon, label: "Colors: system", next: "light" },
  light: { Icon: IconSun, label: "Colors: light", next: "dark" },
  dark: { Icon: IconMoon, label: "Colors: dark", next: "auto" },
} as const satisfies Record<MantineColorScheme, object>

/** Cycle through the color schemes: system, light, dark. Mantine stores the choice in `localStorage`. */
export function ColorSchemeButton() {
  const { colorScheme, setColorScheme } = useMantineColorScheme()
  const { Icon, label, next } = SCHEMES[colorScheme]
  return (
    <ActionIcon
      variant="subtle"
      color="gray"
      size={36}
      aria-label={label}
      title={label}
      onClick={() => {
        setColorScheme(next)
      }}
    >
      <Icon size={20} aria-hidden />
    </ActionIcon>
  )
}
