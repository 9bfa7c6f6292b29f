"""A client that takes next to no time of its own, for what is measured one request after the other."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from .processes import Failed

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Connection:
    """A connection that stays open, and the headers that each of its requests has."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        address = urlsplit(url)
        self.socket = socket.create_connection((address.hostname or "", address.port or 80), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.headers = dict(headers or {})
        lines = {"Host": address.netloc, **self.headers}
        self.head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes, bytes]:
        """Status, head and body of the answer. Underscores in names of headers are hyphens."""
        lines = {name.replace("_", "-"): value for name, value in headers.items()}
        if method != "GET":
            lines["Content-Length"] = str(len(body))
        more = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self.socket.sendall(f"{method} {path} HTTP/1.1\r\n{self.head}{more}\r\n".encode() + body)
        received = self.more()
        while b"\r\n\r\n" not in received:
            received += self.more()
        head, _, content = received.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        missing = int(length[1]) - len(content) if length else 0
        while missing > 0:
            part = self.more()
            content += part
            missing -= len(part)
        return int(head[9:12]), head, content

    def more(self) -> bytes:
        """What comes next. Raises `Failed` at its end."""
        received = self.socket.recv(1 << 18)
        if not received:
            raise Failed("a server closed a connection in the middle of an answer")
        return received

    def get(self, path: str) -> bytes:
        """The body of an answer. Raises `Failed` for one that is an error."""
        status, _, body = self.send("GET", path)
        if status != 200:
            raise Failed(f"GET {path} is answered with {status}")
        return body

    def seconds(self, path: str) -> float:
        """How long the answer takes. Raises as `get` does."""
        begun = time.perf_counter()
        self.get(path)
        return time.perf_counter() - begun
