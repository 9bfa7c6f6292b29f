"""How long the server takes from `python run.py` to its first answer, on a database that is up to date."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from tests.server import Server

ROUNDS = 5


def main() -> None:
    """Print the median of some starts, in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "server")
        seconds = []
        for _ in range(ROUNDS + 1):
            begun = time.perf_counter()
            server.start()
            seconds.append(time.perf_counter() - begun)
            server.stop()
        print(f"median of {ROUNDS}: {statistics.median(seconds[1:]):.2f} s, the very first: {seconds[0]:.2f} s")


if __name__ == "__main__":
    main()
