"""Memory of a worker after many requests, and after as many more: `python -m bench.memory`."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import requests

from .measurement import Measurement
from .processes import BenchmarkError, ServerProcess, run_program
from .targets import DOGS, KENNEL, OWN_DOG_IDS, SQLITE, sample_rows, verify_target
from .throughput import database_factory
from .wrk import build_request, run_load

REQUESTS = 100_000
MEMORY_GOAL_MB, GROWTH_GOAL = 90, 1.02
# The number of responses is only known after each run of wrk.
SLICE_SECONDS = 2


def build_requests(url: str, headers: dict[str, str]) -> list[dict[str, object]]:
    """Return a mix of requests. In every twenty, one adds a dog and one changes one."""
    etag = requests.get(f"{url}/api/v1/dogs/1", timeout=30).headers["ETag"]
    fields = {"name": "Rex", "breed": "Poodle"}
    mix = []
    for number in range(1, 51):
        mix += [build_request("GET", f"/api/v1/dogs/{number * 20 - offset}", {}) for offset in range(6)]
        mix += [
            build_request("GET", f"/api/v1/dogs?limit={number}&sort={sort}", {})
            for sort in ("id", "name", "-created_at")
        ]
        mix += [build_request("GET", f"/api/v1/dogs?breed=Poodle&q={q}", {}) for q in ("rex", "bel")]
        mix += [build_request("GET", path, headers) for path in ("/user/profile", "/api/v1/dogs?mine=true")]
        mix += [build_request("GET", "/api/v1/dogs/1", {"If-None-Match": etag}) for _ in range(3)]
        mix += [build_request("GET", path, {}) for path in (f"/api/v1/dogs/{DOGS * 10**6 + number}", "/api/v1/cats")]
        own_dog = f"/api/v1/dogs/{OWN_DOG_IDS[number]}"
        mix += [build_request("PUT", own_dog, headers, fields | {"name": f"Max {number}"})]
        mix += [build_request("POST", "/api/v1/dogs", headers, fields)]
    return mix


def worker_memory_mb(server: ServerProcess) -> float:
    """Return the resident memory of the largest process, which is the worker."""
    sizes = []
    for pid in server.pids():
        match = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
        sizes.append(int(match[1]) / 1024 if match else 0)
    return max(sizes)


def measure(echo: Callable[[Measurement], None]) -> list[Measurement]:
    """Measure the memory of one worker after `REQUESTS`, and its growth over as many more."""
    with tempfile.TemporaryDirectory() as name, database_factory(SQLITE, Path(name)) as create_database:
        folder, url, rows = Path(name), create_database(), sample_rows()
        (folder / "rows.json").write_text(json.dumps(rows))
        KENNEL.seed(url, folder / "rows.json")
        with KENNEL.server(folder / "server", url) as server:
            mix = build_requests(server.url, verify_target(KENNEL.name, server.url, rows))
            sizes, responses = [worker_memory_mb(server)], 0
            for total in (REQUESTS, 2 * REQUESTS):
                while responses < total:
                    responses += run_load(server.url, mix, SLICE_SECONDS, folder, allow_errors=True)[0]
                sizes.append(worker_memory_mb(server))
            if not server.is_ready():
                raise BenchmarkError("the server does not respond after all these requests")
    start, half, end = sizes
    results = [
        Measurement(
            f"worker memory after {REQUESTS:,} requests",
            [half],
            " MB",
            MEMORY_GOAL_MB,
            note=f"{start:.1f} MB at startup",
        ),
        Measurement(
            f"growth over {REQUESTS:,} more requests", [end / half], "x", GROWTH_GOAL, note=f"{end:.1f} MB afterwards"
        ),
    ]
    for result in results:
        echo(result)
    return results


def main() -> None:
    """Measure the memory and print it."""
    measure(lambda result: print(result, flush=True))


if __name__ == "__main__":
    run_program(main)
