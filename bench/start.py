"""How long the server takes from `python run.py` to its first answer, on a database that is up to date."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.server import Server

from .findings import Finding
from .processes import run_part

ROUNDS = 5


def measure(say: Callable[[Finding], None]) -> list[Finding]:
    """Some starts, in seconds, after a first one, which makes the database."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "server")
        seconds = []
        for _ in range(ROUNDS + 1):
            begun = time.perf_counter()
            with server:
                seconds.append(time.perf_counter() - begun)
                server.stop()
    found = Finding(
        "from the command to the first answer", seconds[1:], " s", 1.0, note=f"{seconds[0]:.2f} s the first time"
    )
    say(found)
    return [found]


def main() -> None:
    """Print what was found."""
    measure(lambda finding: print(finding, flush=True))


if __name__ == "__main__":
    run_part(main)
