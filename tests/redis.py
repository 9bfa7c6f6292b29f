"""A Redis server for tests."""

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
    reason="needs redis-server (sudo apt install redis-server)",
)


class Redis:
    """A Redis server without persistence. Starts on entry, and is killed on exit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"

    def __enter__(self) -> Redis:
        options = {"port": self.port, "bind": "127.0.0.1", "save": "", "dir": self.folder, "logfile": "redis.log"}
        arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        self.process = subprocess.Popen(["redis-server", *arguments], start_new_session=True)
        while not self.is_listening():
            assert self.process.poll() is None, (self.folder / "redis.log").read_text()
            time.sleep(0.02)  # another process: there is no event to wait for
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def is_listening(self) -> bool:
        """Return whether the server accepts connections."""
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        except OSError:
            return False
        return True


@pytest.fixture
def redis(system: None, tmp_path: Path) -> Iterator[Redis]:
    """A Redis server for one test."""
    with Redis(tmp_path) as server:
        yield server
