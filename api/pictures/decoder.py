"""The client of the decoder process: starts it at first use, and again after a file has ended it."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
from multiprocessing import Pipe
from multiprocessing.connection import Connection

from ..config import ROOT
from .decode import TOO_COMPLEX, InvalidImage
from .render import RenderedPicture

START_SECONDS = 30
# How long one file may take. Its CPU time is limited to less (see `decoder_process`).
DEADLINE_SECONDS = 20
MAX_ANSWER_BYTES = 1 << 20


class Decoder:
    """A decoder process, which is used by one thread at a time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.process: subprocess.Popen[bytes] | None = None
        self.connection: Connection | None = None
        atexit.register(self.stop)

    def render(self, data: bytes) -> RenderedPicture:
        """Render an upload, as `api.pictures.render.render` does. Raises `InvalidImage`.

        So is a file during which the process crashes, or takes too much time or memory.
        """
        with self.lock:
            connection = self.connect()
            try:
                connection.send_bytes(data)
                answer = json.loads(receive(connection, DEADLINE_SECONDS))
                if "error" in answer:
                    raise InvalidImage(answer["error"])
                normal, double = receive(connection), receive(connection)
                return RenderedPicture(normal, answer["width"], answer["height"], double or None)
            except (EOFError, OSError):
                self.stop()
                raise InvalidImage(TOO_COMPLEX) from None

    def connect(self) -> Connection:
        """Return the connection to the process, which is started if it does not run."""
        if self.connection and self.process and self.process.poll() is None:
            return self.connection
        self.stop()
        self.connection, other = Pipe()
        with other:
            self.process = subprocess.Popen(  # noqa: S603 - a command of ours
                [sys.executable, "-m", "api.pictures.decoder_process", str(other.fileno())],
                cwd=ROOT,
                env=decoder_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[other.fileno()],
            )
        receive(self.connection, START_SECONDS)
        return self.connection

    def stop(self) -> None:
        """Kill the process, if there is one."""
        if self.connection:
            self.connection.close()
            self.connection = None
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None


def receive(connection: Connection, seconds: float = 1) -> bytes:
    """Receive a message. Raises `TimeoutError`, `EOFError` or `OSError`."""
    if not connection.poll(seconds):
        raise TimeoutError
    return connection.recv_bytes(MAX_ANSWER_BYTES)


def decoder_environment() -> dict[str, str]:
    """Return the variables that the interpreter needs, and none of the settings. One arena bounds the address space."""
    needed = {name: value for name, value in os.environ.items() if name.startswith(("LD_", "PYTHON"))}
    return {**needed, "MALLOC_ARENA_MAX": "1"}


decoder = Decoder()
