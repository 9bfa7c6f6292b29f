import {
  createTheme,
  type CSSVariablesResolver,
  defaultVariantColorsResolver,
  type MantineColorsTuple,
} from "@mantine/core"

const rust: MantineColorsTuple = [
  "#fdf3ec",
  "#f9e3d5",
  "#f2c7ab",
  "#eaa87f",
  "#e28d5a",
  "#d4723a",
  "#bd5a24",
  "#a34a1b",
  "#873c16",
  "#653015",
]
// Warm grays instead of Mantine's cool ones. From 4 they have enough contrast for input borders on white.
const gray: MantineColorsTuple = [
  "#faf8f5",
  "#f4f0ea",
  "#ebe5dc",
  "#dfd7cc",
  "#978c80",
  "#82776c",
  "#695f55",
  "#544b43",
  "#3b342e",
  "#26211d",
]
const dark: MantineColorsTuple = [
  "#ece5dd",
  "#d3cac0",
  "#b5aa9e",
  "#978c81",
  "#453d36",
  "#3a332d",
  "#2c2622",
  "#221d1a",
  "#181412",
  "#0f0d0b",
]
const red: MantineColorsTuple = [
  "#fff1f0",
  "#fde2e0",
  "#f8c3bf",
  "#f2a29d",
  "#ec837c",
  "#dd5a52",
  "#c43a33",
  "#ab2d27",
  "#8f2420",
  "#6e1c19",
]

export const theme = createTheme({
  colors: { rust, gray, dark, red },
  primaryColor: "rust",
  // Text on them is white in the light scheme and black in the dark one, for contrast (WCAG 2.2, 1.4.3).
  primaryShade: { light: 7, dark: 4 },
  // `autoContrast` only considers the light scheme.
  variantColorResolver: (input) => {
    const colors = defaultVariantColorsResolver(input)
    return input.variant === "filled" ? { ...colors, color: "var(--accent-text)" } : colors
  },
  black: "#2b2420",
  defaultRadius: "md",
  radius: { xs: "4px", sm: "6px", md: "10px", lg: "16px", xl: "24px" },
  fontFamily: "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif",
  headings: { fontWeight: "700", textWrap: "balance" },
  cursorType: "pointer",
  respectReducedMotion: true,
  components: {
    // Links in text must not be distinguished by color alone (WCAG 2.2, 1.4.1).
    Anchor: { defaultProps: { underline: "always" } },
    Notification: { defaultProps: { closeButtonProps: { "aria-label": "Close" } } },
    Checkbox: { defaultProps: { iconColor: "var(--accent-text)" } },
    PasswordInput: {
      defaultProps: {
        visibilityToggleFocusable: true,
        visibilityToggleButtonProps: { "aria-label": "Show the password" },
      },
    },
  },
})

// The colors of `tokens.css`.
const colors = {
  "--mantine-color-body": "var(--surface)",
  "--mantine-color-text": "var(--text)",
  "--mantine-color-dimmed": "var(--text-dimmed)",
}

/** Mantine's color variables, adjusted for contrast on our backgrounds. */
export const cssVariables: CSSVariablesResolver = () => ({
  variables: {},
  light: { ...colors, "--mantine-color-placeholder": "var(--mantine-color-gray-6)" },
  dark: {
    ...colors,
    "--mantine-color-error": "var(--mantine-color-red-4)",
    "--mantine-color-default-border": "var(--border)",
    "--mantine-color-red-outline": "var(--mantine-color-red-4)",
    "--mantine-color-rust-outline": "var(--mantine-color-rust-4)",
  },
})
