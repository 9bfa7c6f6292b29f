/** What the page's Content-Security-Policy wants to see on each `<style>`. The server makes a new one for each visit. */
export const nonce = document.querySelector<HTMLMetaElement>("meta[property=csp-nonce]")?.nonce
