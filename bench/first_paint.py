"""How long a newcomer's browser takes on a slow line to show the client, and how much JavaScript it has to load."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from playwright.sync_api import Browser

from tests.browser import chromium
from tests.live_server import ROOT, Server

ROUNDS = 5
# "Fast 3G", as the developer tools of Chromium define it: bytes a second, and milliseconds before each answer.
FAST_3G = {
    "offline": False, "latency": 562.5, "downloadThroughput": 1.6e6 / 8 * 0.9, "uploadThroughput": 750e3 / 8 * 0.9,
}  # fmt: skip
PAINTS = """() => new Promise(resolve => new PerformanceObserver(list => resolve({
  first: performance.getEntriesByName("first-contentful-paint")[0].startTime,
  largest: list.getEntries().at(-1).startTime,
  script: performance.getEntriesByType("resource").filter(({name}) => name.endsWith(".js"))
    .reduce((sum, {encodedBodySize}) => sum + encodedBodySize, 0),
})).observe({type: "largest-contentful-paint", buffered: true}))"""


def visit(browser: Browser, url: str) -> dict[str, float]:
    """The first and the largest paint of a first visit, in milliseconds, and its JavaScript, in packed bytes."""
    with browser.new_context() as context:
        page = context.new_page()
        network = context.new_cdp_session(page)
        network.send("Network.enable")
        network.send("Network.emulateNetworkConditions", FAST_3G)
        page.goto(url, wait_until="networkidle")
        return page.evaluate(PAINTS)


def main() -> None:
    """Print the medians of some first visits."""
    if not (ROOT / "client" / "dist").exists():
        print("left out: the client is not built. Install Node.js, and then: make run")
        return
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder) / "server") as server, chromium() as browser:
        visits = [visit(browser, f"http://localhost:{server.port}/") for _ in range(ROUNDS)]
    first, largest, script = (statistics.median(visit[name] for visit in visits) for name in visits[0])
    print(f"median of {ROUNDS}: first paint {first / 1000:.2f} s, largest paint {largest / 1000:.2f} s")
    print(f"JavaScript of the first load: {script / 1000:.0f} kB packed")


if __name__ == "__main__":
    main()
