import { readFileSync } from "node:fs"
import { readdir, readFile, writeFile } from "node:fs/promises"
import { brotliCompressSync, gzipSync } from "node:zlib"
import react from "@vitejs/plugin-react"
import type { Plugin } from "vite"
import { defineConfig } from "vitest/config"

export default defineConfig({
  plugins: [react(), firstView(), compressed()],
  server: { port: 3000, strictPort: true },
  // The server puts a new nonce in its place whenever it sends the page.
  html: { cspNonce: "__CSP_NONCE__" },
  test: { environment: "happy-dom" },
  build: {
    rolldownOptions: {
      output: {
        codeSplitting: {
          // What we don't write ourselves changes seldom, so browsers keep it longer.
          groups: [{ name: "vendor", test: /[\\/]node_modules[\\/]/, tags: ["$initial"] }],
        },
      },
    },
  },
})

/** Lets the first view be drawn before the scripts and the other styles are here. */
function firstView(): Plugin {
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
        // A stylesheet holds back what comes after it, and the scripts, but not what comes before it.
        const styles = html.match(/ *<link rel="stylesheet".*\n/g)?.join("") ?? ""
        return html.replace(script, built).replace(styles, "").replace("  </body>", `${styles}  </body>`)
      },
    },
  }
}

/** Puts compressed copies beside the assets, for the server to send as they are. */
function compressed(): Plugin {
  return {
    name: "compressed",
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
