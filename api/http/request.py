"""The request object: its ID, its start time, its fields in the log and its temporary files."""

from __future__ import annotations

import re
import secrets
import time
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import IO, Any, cast

import flask
from flask import request
from werkzeug.formparser import default_stream_factory
from werkzeug.http import parse_date

DATE_CONDITIONS = {"HTTP_IF_MODIFIED_SINCE", "HTTP_IF_UNMODIFIED_SINCE", "HTTP_IF_RANGE"}
# The port after an IPv4 address, or an IPv6 address in brackets.
PORT = re.compile(r"(?<=\]):\d+$|^([^:]+):\d+$")
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Request(flask.Request):
    """A Flask request with an `id` (the client's `X-Request-ID` if valid, else a random one) and a `started` time.

    Its temporary files are closed with it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.started = time.perf_counter()
        drop_invalid_dates(self.environ)
        self.files_to_close: list[IO[bytes]] = []
        self.log_fields: dict[str, Any] = {}
        client_id = self.environ.get("HTTP_X_REQUEST_ID", "")
        self.id = client_id if REQUEST_ID.fullmatch(client_id) else secrets.token_hex(16)

    @property
    def client_ip(self) -> IPv4Address | IPv6Address | None:
        """The client's IP address, None if it is not known. Some proxies send it with a port."""
        try:
            return ip_address(PORT.sub(r"\1", self.remote_addr or "").strip("[]"))
        except ValueError:
            return None

    def open_file(self) -> IO[bytes]:
        """Return an empty file, in memory while it is small, which is closed with the request."""
        file = default_stream_factory(total_content_length=None, content_type=None, filename=None)
        self.files_to_close.append(file)
        return file

    def close(self) -> None:
        """Close all files, including those of a form that failed to parse."""
        super().close()
        for file in self.files_to_close:
            file.close()


def drop_invalid_dates(environ: dict[str, Any]) -> None:
    """Remove conditions whose date has an impossible time zone, for which Werkzeug raises `OverflowError`.

    A condition without a valid date is ignored (RFC 9110, section 13.1.3).
    """
    for name in DATE_CONDITIONS & environ.keys():
        try:
            parse_date(environ[name])
        except OverflowError:
            del environ[name]


def current_request() -> Request:
    """Return the request object itself, not Flask's proxy: attribute access through it is slow on the hot path."""
    return cast("Request", request._get_current_object())  # type: ignore[attr-defined]
