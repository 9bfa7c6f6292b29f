// Apply the stored color scheme and show the right links before the first paint. It is a separate file since the
// Content-Security-Policy allows no inline script. It is `async`, so it blocks nothing: on the first visit nothing is
// stored yet, and later it comes from the cache in time.
{
  const { dataset } = document.documentElement
  const read = (name) => {
    try {
      return localStorage.getItem(name)
    } catch {
      return null // storage is blocked
    }
  }
  const scheme = read("mantine-color-scheme-value") // the key is that of Mantine
  const isDark =
    scheme === "dark" || (scheme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches)
  dataset.mantineColorScheme = isDark ? "dark" : "light"
  if (read("kennel-session")) dataset.session = "likely"
}
