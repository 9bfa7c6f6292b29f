"""Logins and registrations relative to bcrypt and Pillow alone, and reads meanwhile: `python -m bench.logins`.

Kennel has a worker per core, the default bcrypt cost of 12 and all rate limits.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from threading import Barrier

import bcrypt

from tests.live_server import Server

from .closed_loop import CLIENTS, JSON, ROUND_SECONDS, compare_rates, expect_status
from .connection import Connection
from .measurement import Measurement
from .processes import CORES, run_program
from .registrations import BCRYPT_COST, measure_registrations

# More than the workers and their queues accept.
BURST_LOGINS = 250
ACCOUNT = {"username": "Anna", "email": "anna@example.com", "password": "correct horse"}
CREDENTIALS = json.dumps({"username": "Anna", "password": "correct horse"}).encode()
LOGIN_GOAL = 0.95
READ_MEDIAN_GOAL_MS, READ_P99_GOAL_MS = 10, 50


def log_in(connection: Connection) -> None:
    """Log in once."""
    expect_status(200, connection.request("POST", "/user/login", CREDENTIALS, **JSON))


def measure_logins(url: str) -> list[Measurement]:
    """Measure logins relative to raw password checks, one per core at a time."""
    password_hash = bcrypt.hashpw(b"correct horse", bcrypt.gensalt(BCRYPT_COST))
    raw = [partial(bcrypt.checkpw, b"correct horse", password_hash)] * len(CORES)
    with ExitStack() as stack:
        ours = [partial(log_in, stack.enter_context(Connection(url))) for _ in range(CLIENTS)]
        return compare_rates("logins / raw bcrypt", ours, raw, LOGIN_GOAL)


def measure_reads(url: str) -> list[Measurement]:
    """Measure the latency of one client's reads while others log in."""
    paths = {"list of 20 dogs": "/api/v1/dogs?limit=20", "one dog": "/api/v1/dogs/1"}
    end = time.perf_counter() + 2 * ROUND_SECONDS
    times: dict[str, list[float]] = {name: [] for name in paths}

    def read() -> None:
        with Connection(url) as connection:
            time.sleep(1)  # until the logins have begun
            while time.perf_counter() < end:
                for name, path in paths.items():
                    times[name].append(connection.time_get(path) * 1000)

    def log_in_repeatedly() -> int:
        count = 0
        with Connection(url) as connection:
            while time.perf_counter() < end:
                log_in(connection)
                count += 1
        return count

    with ThreadPoolExecutor(CLIENTS + 1) as pool:
        reading = pool.submit(read)
        logins = sum(future.result() for future in [pool.submit(log_in_repeatedly) for _ in range(CLIENTS)])
        reading.result()
    note = f"{sum(map(len, times.values())):,} reads during {logins} logins"
    results = []
    for name, milliseconds in times.items():
        p99 = quantiles(milliseconds, n=100)[98]
        results += [
            Measurement(
                f"{name}, while {CLIENTS} clients log in: median", [median(milliseconds)], " ms", READ_MEDIAN_GOAL_MS
            ),
            Measurement(f"{name}: 99th percentile", [p99], " ms", READ_P99_GOAL_MS, note=note),
        ]
    return results


def measure_burst(url: str) -> list[Measurement]:
    """Count the responses to simultaneous logins that are neither 200 nor 503 with Retry-After."""
    barrier = Barrier(BURST_LOGINS)

    def log_in_together(_: int) -> str:
        with Connection(url) as connection:
            barrier.wait()
            status, head, _ = connection.request("POST", "/user/login", CREDENTIALS, **JSON)
        return f"{status}" + (" with Retry-After" if b"\r\nretry-after: " in head.lower() else "")

    with ThreadPoolExecutor(BURST_LOGINS) as pool:
        responses = Counter(pool.map(log_in_together, range(BURST_LOGINS)))
    others = sum(count for response, count in responses.items() if response not in ("200", "503 with Retry-After"))
    note = ", ".join(f"{count} x {response}" for response, count in sorted(responses.items()))
    if "503 with Retry-After" not in responses:  # the burst was too small to show anything
        others = BURST_LOGINS
    name = f"{BURST_LOGINS} simultaneous logins: responses other than 200 and 503 with Retry-After"
    return [Measurement(name, [others], goal=0, note=note)]


def measure(echo: Callable[[Measurement], None]) -> list[Measurement]:
    """Run all of these on a server with its default number of workers."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {"BCRYPT_LOG_ROUNDS": str(BCRYPT_COST), "WEB_CONCURRENCY": "", "TRUSTED_PROXIES": "1"}
        with Server(Path(folder) / "server", **settings) as server:
            with Connection(server.url) as client:
                _, head, _ = client.request("POST", "/user/register", json.dumps(ACCOUNT).encode(), **JSON)
                cookie = head.partition(b"set-cookie: ")[2].partition(b";")[0].decode()
                for number in range(20):
                    dog = json.dumps({"name": f"Dog {number}", "breed": "Beagle"}).encode()
                    expect_status(201, client.request("POST", "/api/v1/dogs", dog, Cookie=cookie, **JSON))
            results = []
            for part in (measure_logins, measure_registrations, measure_reads, measure_burst):
                for result in part(server.url):
                    echo(result)
                    results.append(result)
    return results


def main() -> None:
    """Measure logins, registrations and reads and print the results."""
    measure(lambda result: print(result, flush=True))


if __name__ == "__main__":
    run_program(main)
