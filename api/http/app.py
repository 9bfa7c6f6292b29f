"""The Flask application class: no per-request work that this API does not need."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import flask
from werkzeug.routing import MapAdapter

from .request import Request


class App(flask.Flask):
    """A Flask application with our request class, and URLs that never contain the client's `Host` header."""

    request_class = Request

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # In each request, Flask checks for every hook and view whether it is asynchronous. The answer never changes.
        self.ensure_sync: Callable[..., Any] = cache(super().ensure_sync)

    def create_url_adapter(self, request: flask.Request | None) -> MapAdapter | None:
        """Match routes by path and method alone, and build URLs from `PUBLIC_URL`, never from a `Host` header."""
        if request is None:
            return super().create_url_adapter(None)
        public = urlsplit(self.config["PUBLIC_URL"])
        query = request.query_string.decode("latin-1")
        return MapAdapter(
            self.url_map, public.netloc, request.root_path, "", public.scheme, request.path, request.method, query
        )
