"""Latency of reads and a login while slow clients send a byte per second: `python -m bench.slow_clients`."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import median, quantiles

import requests

from tests.live_server import Server
from tests.test_outages import SlowClients, log_in, register, slow_parts

from .connection import Connection

CLIENTS, READS = 60, 200


def main() -> None:
    """Measure the latency without slow clients and with some of each kind, and print it."""
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder) / "server", WEB_CONCURRENCY="1") as server:
        cookies = register(server)
        for number in range(20):
            dog = {"name": f"Dog {number}", "breed": "Beagle"}
            requests.post(f"{server.url}/api/v1/dogs", json=dog, cookies=cookies, timeout=60)
        time_reads(server.url)
        print(f"{'list of 20 dogs, ms':<22}{'median':>10}{'p99':>10}{'login':>10}")
        print(format_row("no slow clients", time_reads(server.url)) + time_login(server))
        for kind, part in slow_parts(cookies).items():
            with SlowClients(server, CLIENTS, part):
                print(format_row(f"{CLIENTS} slow {kind}", time_reads(server.url)) + time_login(server))


def time_reads(url: str) -> list[float]:
    """Return the milliseconds that each of some reads takes."""
    with Connection(url) as connection:
        return [connection.time_get("/api/v1/dogs?limit=20") * 1000 for _ in range(READS)]


def format_row(name: str, times: list[float]) -> str:
    """Return the median and the 99th percentile."""
    return f"{name:<22}{median(times):>10.1f}{quantiles(times, n=100)[98]:>10.1f}"


def time_login(server: Server) -> str:
    """Return the milliseconds of a login, at a bcrypt cost of 10."""
    started = time.perf_counter()
    assert log_in(server).ok
    return f"{(time.perf_counter() - started) * 1000:>10.1f}"


if __name__ == "__main__":
    main()
