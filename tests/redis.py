"""A Redis of the tests' own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .live_server import free_port

NEEDS_REDIS = pytest.mark.skipif(
    shutil.which("redis-server") is None,
    reason="The tests with Redis are left out. To have them too: sudo apt install redis-server",
)


class Redis:
    """A Redis that keeps nothing on disk. Starts on entry, and is killed on exit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"

    def __enter__(self) -> Redis:
        options = {"port": self.port, "bind": "127.0.0.1", "save": "", "dir": self.folder, "logfile": "redis.log"}
        arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        self.process = subprocess.Popen(["redis-server", *arguments], start_new_session=True)
        while not self.listens():
            assert self.process.poll() is None, (self.folder / "redis.log").read_text()
            time.sleep(0.02)  # another process: there is no event to wait for
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def listens(self) -> bool:
        """Whether it takes connections."""
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        except OSError:
            return False
        return True


@pytest.fixture
def redis(system: None, tmp_path: Path) -> Iterator[Redis]:
    """A Redis for one test."""
    with Redis(tmp_path) as running:
        yield running
