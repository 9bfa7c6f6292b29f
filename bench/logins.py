"""Logins and registrations beside what bcrypt and Pillow alone do on all cores, and reads meanwhile.

`python -m bench.logins`. bcrypt's cost is 12, as by default, and all limits are on.
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

from .closed_loop import CLIENTS, JSON, SECONDS, compared, expect
from .connection import Connection
from .measurement import Finding
from .processes import CORES, run_part
from .registrations import COST, registrations

# More than the workers and their queues take.
CROWD = 250
ACCOUNT = {"username": "Anna", "email": "anna@example.com", "password": "correct horse"}
LOGIN = json.dumps({"username": "Anna", "password": "correct horse"}).encode()


def log_in(connection: Connection) -> None:
    """One login."""
    expect(200, connection.send("POST", "/user/login", LOGIN, **JSON))


def logins(url: str) -> list[Finding]:
    """Logins beside raw checks of a password, as many at a time as there are cores."""
    known = bcrypt.hashpw(b"correct horse", bcrypt.gensalt(COST))
    raw = [partial(bcrypt.checkpw, b"correct horse", known)] * len(CORES)
    with ExitStack() as stack:
        ours = [partial(log_in, stack.enter_context(Connection(url))) for _ in range(CLIENTS)]
        return compared("logins / raw bcrypt", ours, raw, 0.95)


def reads(url: str) -> list[Finding]:
    """How long reads take while many log in, after each other by one client."""
    paths = {"list of 20 dogs": "/api/v1/dogs?limit=20", "one dog": "/api/v1/dogs/1"}
    end = time.perf_counter() + 2 * SECONDS
    times: dict[str, list[float]] = {name: [] for name in paths}

    def read() -> None:
        with Connection(url) as connection:
            time.sleep(1)  # until those who log in are there
            while time.perf_counter() < end:
                for name, path in paths.items():
                    times[name].append(connection.seconds(path) * 1000)

    def log_in_again_and_again() -> int:
        done = 0
        with Connection(url) as connection:
            while time.perf_counter() < end:
                log_in(connection)
                done += 1
        return done

    with ThreadPoolExecutor(CLIENTS + 1) as pool:
        reading = pool.submit(read)
        done = sum(each.result() for each in [pool.submit(log_in_again_and_again) for _ in range(CLIENTS)])
        reading.result()
    note = f"of {sum(map(len, times.values())):,} reads, beside {done} logins"
    found = []
    for name, taken in times.items():
        found.append(Finding(f"{name}, while {CLIENTS} clients log in: median", [median(taken)], " ms", 10))
        found.append(Finding(f"{name}: 99th percentile", [quantiles(taken, n=100)[98]], " ms", 50, note=note))
    return found


def crowd(url: str) -> list[Finding]:
    """What a crowd of logins is answered at one moment: 200, or 503 with the seconds to wait."""
    together = Barrier(CROWD)

    def come(_: int) -> str:
        with Connection(url) as connection:
            together.wait()
            status, head, _ = connection.send("POST", "/user/login", LOGIN, **JSON)
        return f"{status}" + (" with Retry-After" if b"\r\nretry-after: " in head.lower() else "")

    with ThreadPoolExecutor(CROWD) as pool:
        answers = Counter(pool.map(come, range(CROWD)))
    others = sum(number for answer, number in answers.items() if answer not in ("200", "503 with Retry-After"))
    note = ", ".join(f"{number} times {answer}" for answer, number in sorted(answers.items()))
    if "503 with Retry-After" not in answers:
        others = CROWD
    what = f"{CROWD} logins at one moment: answers that are neither 200 nor 503 with Retry-After"
    return [Finding(what, [others], goal=0, note=note)]


def measure(say: Callable[[Finding], None]) -> list[Finding]:
    """All of it, on a server with its default number of workers."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {"BCRYPT_LOG_ROUNDS": str(COST), "WEB_CONCURRENCY": "", "TRUSTED_PROXIES": "1"}
        with Server(Path(folder) / "server", **settings) as server:
            with Connection(server.url) as client:
                _, head, _ = client.send("POST", "/user/register", json.dumps(ACCOUNT).encode(), **JSON)
                cookie = head.partition(b"set-cookie: ")[2].partition(b";")[0].decode()
                for number in range(20):
                    dog = json.dumps({"name": f"Dog {number}", "breed": "Beagle"}).encode()
                    expect(201, client.send("POST", "/api/v1/dogs", dog, Cookie=cookie, **JSON))
            found = []
            for part in (logins, registrations, reads, crowd):
                for finding in part(server.url):
                    say(finding)
                    found.append(finding)
    return found


def main() -> None:
    """Print what was found."""
    measure(lambda finding: print(finding, flush=True))


if __name__ == "__main__":
    run_part(main)
