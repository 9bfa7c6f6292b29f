"""A real server in separate processes, for what a test client cannot show: workers, races, signals, crashes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).parent.parent


def free_port() -> int:
    """Return a free TCP port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition: Callable[[], Any], description: str, seconds: float = 30) -> None:
    """Poll until the condition holds. Other processes signal no event that could be waited for."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"no {description} within {seconds} seconds"
        time.sleep(0.02)


class Server:
    """`python run.py` with its database and pictures in `home`. Starts on entry, and is killed on exit."""

    def __init__(self, home: Path, root: Path = ROOT, port: int | None = None, **settings: Any) -> None:
        self.home = home
        self.root = root
        self.uploads = home / "uploads"
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        home.mkdir(exist_ok=True)
        self.settings = {
            "DATABASE_URL": f"sqlite:///{home / 'dogs.sqlite'}",
            "UPLOADS_URL": str(self.uploads),
            "SECRET_KEY": "a key for the tests, which is no secret",
            "BCRYPT_LOG_ROUNDS": "10",
            "PORT": str(self.port),
            "WEB_CONCURRENCY": "2",
            **settings,
        }
        self.process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self, *arguments: str) -> Server:
        """Start the server, and wait until it responds."""
        with open(self.home / "log", "a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "run.py", *arguments],
                cwd=self.root,
                env={**os.environ, **self.settings},
                stdout=log,
                stderr=log,
                text=True,
                start_new_session=True,  # a separate process group, so that `kill` reaches the workers
            )
        while not self.is_ready():
            if self.process.poll() is not None:
                raise RuntimeError(f"the server did not start: {self.output()}")
            time.sleep(0.02)  # another process: there is no event to wait for
        return self

    def is_ready(self) -> bool:
        """Return whether the server responds within 5 seconds."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5):
                return requests.get(f"{self.url}/health/live", timeout=5).ok
        except OSError:
            return False

    def stop(self) -> int:
        """Stop the server by SIGTERM, and return its exit code."""
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)

    def kill(self) -> None:
        """Kill the server and its workers by SIGKILL, like a power failure."""
        if self.process:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def output(self) -> str:
        """Return what the server has printed and logged."""
        return (self.home / "log").read_text()


def worker_pids(server: Server) -> list[int]:
    """Return the process ids of the workers of a server."""
    assert server.process
    process = server.process.pid
    return [int(number) for number in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
