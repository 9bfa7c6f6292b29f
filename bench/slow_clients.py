"""How long reads and a login take while sixty clients send a request one byte a second, on one worker process."""

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
    """Print the times of reads without slow clients, and with some of each kind."""
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder) / "server", WEB_CONCURRENCY="1") as server:
        cookies = register(server)
        for number in range(20):
            dog = {"name": f"Dog {number}", "breed": "Beagle"}
            requests.post(f"{server.url}/api/v1/dogs", json=dog, cookies=cookies, timeout=60)
        read_times(server.url)
        print(f"{'list of 20 dogs, ms':<22}{'median':>10}{'p99':>10}{'a login':>10}")
        print(row("no slow clients", read_times(server.url)) + login_time(server))
        for kind, part in slow_parts(cookies).items():
            with SlowClients(server, CLIENTS, part):
                print(row(f"{CLIENTS} slow {kind}", read_times(server.url)) + login_time(server))


def read_times(url: str) -> list[float]:
    """The milliseconds that each of some reads takes."""
    with Connection(url) as connection:
        return [connection.seconds("/api/v1/dogs?limit=20") * 1000 for _ in range(READS)]


def row(name: str, times: list[float]) -> str:
    """Median and 99th percentile."""
    return f"{name:<22}{median(times):>10.1f}{quantiles(times, n=100)[98]:>10.1f}"


def login_time(server: Server) -> str:
    """The milliseconds of a login, at bcrypt's cost of 10."""
    begun = time.perf_counter()
    assert log_in(server).ok
    return f"{(time.perf_counter() - begun) * 1000:>10.1f}"


if __name__ == "__main__":
    main()
