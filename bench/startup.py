"""How long the server takes from `python run.py` to its first answer, on a database that is up to date."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.live_server import ROOT, Server

from .measurement import Finding
from .processes import run_part

ROUNDS = 5


def measure(say: Callable[[Finding], None]) -> list[Finding]:
    """Some starts, in seconds, after a first one, which makes the database."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "server")
        seconds, imports = [], []
        for _ in range(ROUNDS + 1):
            begun = time.perf_counter()
            with server:
                seconds.append(time.perf_counter() - begun)
                server.stop()
            imports.append(imported())
    first = f"{seconds[0]:.2f} s the first time"
    found = [
        Finding("from the command to the first answer", seconds[1:], " s", 1.0, note=first),
        Finding("Python alone, with what it imports", imports[1:], " s"),
    ]
    for finding in found:
        say(finding)
    return found


def imported() -> float:
    """How many seconds Python takes to start and to import all of Kennel."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import api.routes, granian, os; os._exit(0)"], cwd=ROOT, check=True)
    return time.perf_counter() - begun


def main() -> None:
    """Print what was found."""
    measure(lambda finding: print(finding, flush=True))


if __name__ == "__main__":
    run_part(main)
