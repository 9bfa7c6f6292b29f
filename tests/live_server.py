"""The real server in processes of its own, for tests of what a test client can't show: processes, races, crashes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).parent.parent


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """`python run.py` with a database and a folder of pictures in `home`. Starts on entry, and is killed on exit."""

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
        """Start it, and wait until it answers."""
        with open(self.home / "log", "a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "run.py", *arguments],
                cwd=self.root,
                env={**os.environ, **self.settings},
                stdout=log,
                stderr=log,
                text=True,
                start_new_session=True,  # a group of its own, so that `kill` reaches its workers
            )
        while not self.answers():
            if self.process.poll() is not None:
                raise RuntimeError(f"the server did not start: {self.output()}")
            time.sleep(0.02)  # another process: there is no event to wait for
        return self

    def answers(self) -> bool:
        """Whether it answers; waits a moment for it."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5):
                return requests.get(f"{self.url}/health/live", timeout=5).ok
        except OSError:
            return False

    def stop(self) -> int:
        """Ask it to stop, and return how it ended."""
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)

    def kill(self) -> None:
        """End it and its workers without a warning, as a power cut would."""
        if self.process:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def output(self) -> str:
        """What it has printed and logged."""
        return (self.home / "log").read_text()
