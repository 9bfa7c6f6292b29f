"""An S3-compatible server (moto) for tests, which may suspend or stop it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import obstore
import pytest
import requests
from obstore.store import S3Store

from .live_server import free_port

KEYS = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "no secret", "AWS_REGION": "us-east-1"}


class S3:
    """An S3-compatible server (moto), in memory. Starts on entry, and is killed on exit."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.settings = settings
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {**KEYS, "AWS_ENDPOINT_URL": self.url}

    def __enter__(self) -> S3:
        with open(self.folder / "log", "w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)],
                env={**os.environ, **self.settings},
                stdout=log,
                stderr=log,
            )
        while not self.is_listening():
            assert self.process.poll() is None, (self.folder / "log").read_text()
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

    def make_bucket(self, name: str = "") -> Bucket:
        """Create an empty bucket."""
        name = name or f"kennel-{uuid.uuid4().hex}"
        requests.put(f"{self.url}/{name}", timeout=30).raise_for_status()
        return Bucket(self, name)

    def suspend(self) -> None:
        """Suspend the server until `resume`: the kernel accepts connections, but nothing responds."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Resume after `suspend`."""
        self.process.send_signal(signal.SIGCONT)


class Bucket:
    """Direct access to a bucket, without Kennel."""

    def __init__(self, s3: S3, name: str) -> None:
        self.s3 = s3
        self.name = name
        self.url = f"s3://{name}/some/prefix"
        options: dict[str, Any] = {"client_options": {"allow_http": True}}
        config = {key.lower(): value for key, value in s3.environment.items()}
        self.store = S3Store(name, prefix="some/prefix", config=config, **options)

    def names(self) -> set[str]:
        """Return the names of the objects under the prefix."""
        return {item["path"] for items in obstore.list(self.store) for item in items}

    def read(self, name: str) -> bytes:
        """Return the content of an object."""
        return bytes(self.store.get(name).bytes())

    def put(self, name: str, content: bytes = b"content") -> str:
        """Store an object, and return its name."""
        self.store.put(name, content)
        return name


@pytest.fixture(scope="session")
def s3(system: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """An S3 server shared by all tests. Each creates its own bucket."""
    with S3(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def own_s3(system: None, tmp_path: Path) -> Iterator[S3]:
    """An S3 server for one test, which may suspend or stop it."""
    with S3(tmp_path) as server:
        yield server


@pytest.fixture
def bucket(s3: S3, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """An empty bucket, with the environment variables that give access to it."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    return s3.make_bucket()
