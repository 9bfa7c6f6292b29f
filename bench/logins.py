"""How long reads take while logins keep every slot busy, against reads on an idle server."""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from pathlib import Path

import requests

from tests.server import Server

CLIENTS = 16
READS = 300
ACCOUNT = {"username": "Anna", "email": "anna@example.com", "password": "correct horse"}
LOGIN = {"username": "Anna", "password": "correct horse"}


def read_times(url: str) -> list[float]:
    """The seconds that each of some reads takes."""
    client = requests.Session()
    times = []
    for _ in range(READS):
        begun = time.perf_counter()
        assert client.get(f"{url}/api/v1/dogs", timeout=60).ok
        times.append(time.perf_counter() - begun)
    return times


def row(name: str, times: list[float]) -> str:
    """Median and 99th percentile, in milliseconds."""
    return f"{name:<22}{statistics.median(times) * 1000:>10.1f}{statistics.quantiles(times, n=100)[98] * 1000:>10.1f}"


def main() -> None:
    """Print the times of reads on an idle server and on one that many log in to."""
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder) / "server", BCRYPT_LOG_ROUNDS="12") as server:
        client = requests.Session()
        client.post(f"{server.url}/user/register", json=ACCOUNT, timeout=60)
        for number in range(20):
            client.post(f"{server.url}/api/v1/dogs", json={"name": f"Dog {number}", "breed": "Beagle"}, timeout=60)
        read_times(server.url)
        idle = read_times(server.url)

        done = threading.Event()
        statuses: list[int] = []

        def log_in() -> None:
            while not done.is_set():
                statuses.append(requests.post(f"{server.url}/user/login", json=LOGIN, timeout=60).status_code)

        clients = [threading.Thread(target=log_in) for _ in range(CLIENTS)]
        begun = time.perf_counter()
        for thread in clients:
            thread.start()
        busy = read_times(server.url)
        while time.perf_counter() - begun < 10:
            busy += read_times(server.url)
        done.set()
        for thread in clients:
            thread.join()
        logins = statuses.count(200) / (time.perf_counter() - begun)

        print(f"{'list of 20 dogs, ms':<22}{'median':>10}{'p99':>10}")
        print(row("idle", idle))
        print(row(f"{CLIENTS} clients log in", busy))
        others = len(statuses) - statuses.count(200)
        print(f"\n{logins:.1f} logins a second meanwhile, at bcrypt's cost of 12; other answers: {others}")


if __name__ == "__main__":
    main()
