"""First paint of the React client on a slow connection, and the size of its JavaScript: `python -m bench.first_paint`.

The client must be built. The cache of the browser is empty.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser

from tests.browser import chromium
from tests.live_server import ROOT, Server

ROUNDS = 5
# "Fast 3G" of Chromium's developer tools: throughput in bytes per second, latency in milliseconds.
FAST_3G = {
    "offline": False, "latency": 562.5, "downloadThroughput": 1.6e6 / 8 * 0.9, "uploadThroughput": 750e3 / 8 * 0.9,
}  # fmt: skip
PAINTS = """() => new Promise(resolve => new PerformanceObserver(list => resolve({
  first: performance.getEntriesByName("first-contentful-paint")[0].startTime,
  largest: list.getEntries().at(-1).startTime,
  script: performance.getEntriesByType("resource").filter(({name}) => name.endsWith(".js"))
    .reduce((sum, {encodedBodySize}) => sum + encodedBodySize, 0),
})).observe({type: "largest-contentful-paint", buffered: true}))"""


def measure_visit(browser: Browser, url: str) -> dict[str, float]:
    """Return the first and the largest contentful paint in milliseconds, and the compressed JavaScript in bytes."""
    with browser.new_context() as context:
        page = context.new_page()
        network = context.new_cdp_session(page)
        network.send("Network.enable")
        network.send("Network.emulateNetworkConditions", FAST_3G)
        page.goto(url, wait_until="networkidle")
        return page.evaluate(PAINTS)


def main() -> None:
    """Measure some first visits and print the medians."""
    if not (ROOT / "client" / "dist").exists():
        sys.exit("The client is not built. Install Node.js, and build it with: make run")
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder) / "server") as server, chromium() as browser:
        visits = [measure_visit(browser, f"http://localhost:{server.port}/") for _ in range(ROUNDS)]
    first, largest, script = (statistics.median(visit[name] for visit in visits) for name in visits[0])
    print(f"median of {ROUNDS}: first contentful paint {first / 1000:.2f} s, largest {largest / 1000:.2f} s")
    print(f"JavaScript of the first load: {script / 1000:.0f} kB compressed")


if __name__ == "__main__":
    main()
