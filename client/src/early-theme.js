// Gives the first view the colors that were chosen, and the right links. It is a file of its own since the page's
// Content-Security-Policy allows no script in the page. It holds nothing back (`async`): on the first visit nothing has
// been chosen yet, and later it comes from the cache, in time.
{
  const { dataset } = document.documentElement
  const read = (name) => {
    try {
      return localStorage.getItem(name)
    } catch {
      return null // storage is blocked
    }
  }
  const chosen = read("mantine-color-scheme-value") // where Mantine keeps it
  const isDark =
    chosen === "dark" || (chosen !== "light" && matchMedia("(prefers-color-scheme: dark)").matches)
  dataset.mantineColorScheme = isDark ? "dark" : "light"
  if (read("kennel-session")) dataset.session = "likely"
}
