"""How long reads and a login take while sixty clients send a request one byte a second, on one worker process."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import requests

from tests.server import Server
from tests.test_survival import SlowClients, log_in, register, slow_parts

from .logins import read_times, row

CLIENTS = 60


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


def login_time(server: Server) -> str:
    """The milliseconds of a login, at bcrypt's cost of 10."""
    begun = time.perf_counter()
    assert log_in(server).ok
    return f"{(time.perf_counter() - begun) * 1000:>10.1f}"


if __name__ == "__main__":
    main()
