/** The nonce that the Content-Security-Policy requires on each `<style>`. The server generates one per response. */
export const nonce = document.querySelector<HTMLMetaElement>("meta[property=csp-nonce]")?.nonce
