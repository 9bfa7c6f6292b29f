import { readFileSync } from "node:fs"
import { readdir, readFile, writeFile } from "node:fs/promises"
import { brotliCompressSync, gzipSync } from "node:zlib"
import react from "@vitejs/plugin-react"
import type { Plugin } from "vite"
import { defineConfig } from "vitest/config"

export default defineConfig({
  plugins: [react(), earlyTheme(), compressAssets()],
  server: { port: 3000, strictPort: true },
  // The server replaces this with a new nonce in each response.
  html: { cspNonce: "__CSP_NONCE__" },
  test: { environment: "happy-dom" },
  build: {
    rolldownOptions: {
      output: {
        codeSplitting: {
          // Dependencies change less often than our code, so a separate chunk stays cached for longer.
          groups: [{ name: "vendor", test: /[\\/]node_modules[\\/]/, tags: ["$initial"] }],
        },
      },
    },
  },
})

/** Let the first paint happen before the other scripts and styles have loaded. */
function earlyTheme(): Plugin {
  const script = "src/early-theme.js"
  return {
    name: "early-theme",
    apply: "build",
    buildStart() {
      this.emitFile({ type: "asset", name: "early-theme.js", source: readFileSync(script) })
    },
    transformIndexHtml: {
      order: "post",
      handler(html, { bundle = {} }) {
        const built = Object.keys(bundle).find((name) => name.includes("early-theme"))
        if (!built) throw new Error(`${script} is not in the build`)
        // A stylesheet blocks scripts and the rendering of what follows it, but not of what precedes it.
        const styles = html.match(/ *<link rel="stylesheet".*\n/g)?.join("") ?? ""
        return html.replace(script, built).replace(styles, "").replace("  </body>", `${styles}  </body>`)
      },
    },
  }
}

/** Write precompressed copies of the assets, which the server sends as they are. */
function compressAssets(): Plugin {
  return {
    name: "compress-assets",
    apply: "build",
    async writeBundle({ dir = "dist" }) {
      const folder = `${dir}/assets/`
      for (const name of await readdir(folder)) {
        if (!/\.(js|css|svg)$/.test(name)) continue
        const content = await readFile(folder + name)
        await writeFile(`${folder}${name}.br`, brotliCompressSync(content))
        await writeFile(`${folder}${name}.gz`, gzipSync(content, { level: 9 }))
      }
    },
  }
}
