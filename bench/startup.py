"""Time from `python run.py` to the first response, on a migrated database: `python -m bench.startup`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.live_server import ROOT, Server

from .measurement import Measurement
from .processes import run_program

ROUNDS = 5


def measure(echo: Callable[[Measurement], None]) -> list[Measurement]:
    """Measure some starts, after a first one that creates the database."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "server")
        starts, imports = [], []
        for _ in range(ROUNDS + 1):
            started = time.perf_counter()
            with server:
                starts.append(time.perf_counter() - started)
                server.stop()
            imports.append(time_imports())
    results = [
        Measurement("from command to first response", starts[1:], " s", 1.0, note=f"first start {starts[0]:.2f} s"),
        Measurement("Python and its imports alone", imports[1:], " s"),
    ]
    for result in results:
        echo(result)
    return results


def time_imports() -> float:
    """Return the seconds that Python takes to start and to import Kennel."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import api.routes, granian, os; os._exit(0)"], cwd=ROOT, check=True)
    return time.perf_counter() - started


def main() -> None:
    """Measure the startup time and print it."""
    measure(lambda result: print(result, flush=True))


if __name__ == "__main__":
    run_program(main)
