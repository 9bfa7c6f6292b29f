"""A minimal HTTP client with next to no overhead, to measure latency one request at a time."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from .processes import BenchmarkError

CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Connection:
    """A keep-alive connection, with default headers for its requests. A context manager."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        address = urlsplit(url)
        self.socket = socket.create_connection((address.hostname or "", address.port or 80), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.headers = dict(headers or {})
        self.header_lines = format_headers({"Host": address.netloc, **self.headers})

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def request(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes, bytes]:
        """Return the status, head and body of the response. Underscores in header names become hyphens."""
        extra = {name.replace("_", "-"): value for name, value in headers.items()}
        if method != "GET":
            extra["Content-Length"] = str(len(body))
        head = f"{method} {path} HTTP/1.1\r\n{self.header_lines}{format_headers(extra)}\r\n"
        self.socket.sendall(head.encode() + body)
        received = self.receive()
        while b"\r\n\r\n" not in received:
            received += self.receive()
        response_head, _, content = received.partition(b"\r\n\r\n")
        length = CONTENT_LENGTH.search(response_head)
        missing = int(length[1]) - len(content) if length else 0
        while missing > 0:
            chunk = self.receive()
            content += chunk
            missing -= len(chunk)
        return int(response_head[9:12]), response_head, content

    def receive(self) -> bytes:
        """Return the next bytes. Raise `BenchmarkError` at the end of the stream."""
        received = self.socket.recv(1 << 18)
        if not received:
            raise BenchmarkError("the server closed the connection in the middle of a response")
        return received

    def get(self, path: str) -> bytes:
        """Return the body of a response. Raise `BenchmarkError` unless its status is 200."""
        status, _, body = self.request("GET", path)
        if status != 200:
            raise BenchmarkError(f"GET {path} responded with {status}")
        return body

    def time_get(self, path: str) -> float:
        """Return the seconds that a GET takes. Raise `BenchmarkError` unless the status is 200."""
        started = time.perf_counter()
        self.get(path)
        return time.perf_counter() - started


def format_headers(headers: Mapping[str, str]) -> str:
    """Return the header lines of a request."""
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items())
