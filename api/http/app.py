"""Flask, without the work for each request that an API like this one does not need."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import flask
from werkzeug.routing import MapAdapter

from .body import Request


class App(flask.Flask):
    """A Flask application. What differs from Flask's own is named here."""

    request_class = Request

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Flask asks in each request of each hook and view whether it is asynchronous.
        self.ensure_sync: Callable[..., Any] = cache(super().ensure_sync)

    def create_url_adapter(self, request: flask.Request | None) -> MapAdapter | None:
        """What finds the route of a request: by its path and method alone, since no route is for one host only.

        So a URL that is built from a route never has the host of a header that the client sent.
        """
        if request is None:
            return super().create_url_adapter(None)
        public = urlsplit(self.config["PUBLIC_URL"])
        query = request.query_string.decode("latin-1")
        return MapAdapter(
            self.url_map, public.netloc, request.root_path, "", public.scheme, request.path, request.method, query
        )
