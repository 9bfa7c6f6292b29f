"""The request object: its ID, its start time, and forms that raise instead of being silently empty."""

from __future__ import annotations

import re
import secrets
import time
from typing import IO, Any, cast

import flask
from flask import request
from werkzeug.formparser import FormDataParser

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Request(flask.Request):
    """A Flask request with an `id` (the client's `X-Request-ID` if valid, else a random one) and a `started` time.

    A malformed form raises `ValueError`, and uploaded files are closed even when parsing fails.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.started = time.perf_counter()
        client_id = self.environ.get("HTTP_X_REQUEST_ID", "")
        self.id = client_id if REQUEST_ID.fullmatch(client_id) else secrets.token_hex(16)

    def make_form_data_parser(self) -> FormDataParser:
        """Return Werkzeug's parser, but not silent: it would return an empty form for a malformed one."""
        parser = super().make_form_data_parser()
        parser.silent = False
        return parser

    def _get_file_stream(self, *args: Any, **kwargs: Any) -> IO[bytes]:
        stream = super()._get_file_stream(*args, **kwargs)
        self.__dict__.setdefault("file_streams", []).append(stream)
        return stream

    def close(self) -> None:
        """Close all files, including those of a form that failed to parse."""
        super().close()
        for stream in self.__dict__.get("file_streams", ()):
            stream.close()


def current_request() -> Request:
    """Return the request object itself, not Flask's proxy: attribute access through it is slow on the hot path."""
    return cast("Request", request._get_current_object())  # type: ignore[attr-defined]
