"""How much memory a worker holds after many requests, and after as many again: `python -m bench.memory`."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import requests

from .measurement import Finding
from .processes import Failed, Running, run_part
from .targets import DOGS, HERS, KENNEL, SQLITE, check, sample
from .throughput import databases
from .wrk import load, request

REQUESTS = 100_000
MEGABYTES, GROWTH = 90, 1.02
# How long a load lasts before it is looked how many requests there were, in seconds.
SLICE = 2


def mix(url: str, headers: dict[str, str]) -> list[dict[str, object]]:
    """A bit of everything, as they come in turn: twenty requests, of which one adds a dog and one changes one."""
    etag = requests.get(f"{url}/api/v1/dogs/1", timeout=30).headers["ETag"]
    fields = {"name": "Rex", "breed": "Poodle"}
    sent = []
    for number in range(1, 51):
        sent += [request("GET", f"/api/v1/dogs/{number * 20 - place}", {}) for place in range(6)]
        sent += [
            request("GET", f"/api/v1/dogs?limit={number}&sort={sort}", {}) for sort in ("id", "name", "-created_at")
        ]
        sent += [request("GET", f"/api/v1/dogs?breed=Poodle&q={q}", {}) for q in ("rex", "bel")]
        sent += [request("GET", "/user/profile", headers), request("GET", "/api/v1/dogs?mine=true", headers)]
        sent += [request("GET", "/api/v1/dogs/1", {"If-None-Match": etag}) for _ in range(3)]
        sent += [request("GET", path, {}) for path in (f"/api/v1/dogs/{DOGS * 10**6 + number}", "/api/v1/cats")]
        sent += [request("PUT", f"/api/v1/dogs/{HERS[number]}", headers, fields | {"name": f"Max {number}"})]
        sent += [request("POST", "/api/v1/dogs", headers, fields)]
    return sent


def megabytes(server: Running) -> float:
    """What the largest of its processes, which is the worker, holds."""
    held = []
    for process in server.processes():
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process}/status").read_text())
        held.append(int(found[1]) / 1024 if found else 0)
    return max(held)


def measure(say: Callable[[Finding], None]) -> list[Finding]:
    """The memory of one worker after `REQUESTS`, and its growth by as many more."""
    with tempfile.TemporaryDirectory() as name, databases(SQLITE, Path(name)) as new_database:
        folder, url, rows = Path(name), new_database(), sample()
        (folder / "rows.json").write_text(json.dumps(rows))
        KENNEL.fill(url, folder / "rows.json")
        with KENNEL.started(folder / "server", url) as server:
            sent = mix(server.url, check(KENNEL.name, server.url, rows))
            held, answered = [megabytes(server)], 0
            for goal in (REQUESTS, 2 * REQUESTS):
                while answered < goal:
                    answered += load(server.url, sent, SLICE, folder, refusals=True)[0]
                held.append(megabytes(server))
            if not server.answers():
                raise Failed("the server does not answer after all these requests")
    begin, half, end = held
    found = [
        Finding(f"a worker after {REQUESTS:,} requests", [half], " MB", MEGABYTES, note=f"{begin:.1f} MB at its start"),
        Finding(f"growth by {REQUESTS:,} requests more", [end / half], "x", GROWTH, note=f"{end:.1f} MB then"),
    ]
    for finding in found:
        say(finding)
    return found


def main() -> None:
    """Print what was found."""
    measure(lambda finding: print(finding, flush=True))


if __name__ == "__main__":
    run_part(main)
