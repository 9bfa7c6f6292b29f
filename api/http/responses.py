"""Response classes, and the envelope of successful responses."""

from __future__ import annotations

from typing import Any

import orjson
from flask import Response
from werkzeug.datastructures import Headers

JSON = "application/json"
PROBLEM = "application/problem+json"


def success_body(data: Any, status: int, **extra: Any) -> dict[str, Any]:
    """Return the envelope of a success: `{"data": ..., "status": {"code", "message"}}`, and e.g. `page` as `extra`."""
    return {"data": data, "status": {"code": status, "message": "Success"}, **extra}


class JsonResponse(Response):
    """A JSON response in UTF-8 (RFC 8259). It has a body, whatever the status."""

    def __init__(self, body: Any, status: int, mimetype: str = JSON) -> None:
        super().__init__(orjson.dumps(body), status, content_type=mimetype)

    def get_wsgi_headers(self, environ: Any) -> Headers:
        """Return the headers unchanged: Content-Length is set and Location is absolute, which Werkzeug would check."""
        return self.headers

    def get_app_iter(self, environ: Any) -> Any:
        """Return the body. There is nothing to close after sending it."""
        return () if environ["REQUEST_METHOD"] == "HEAD" else self.response


class NotModified(Response):
    """304: the client's copy is current (RFC 9110, section 15.4.5)."""

    def __init__(self) -> None:
        super().__init__(status=304)
        self.headers.clear()  # no body, so no Content-Type

    def get_wsgi_headers(self, environ: Any) -> Headers:
        """Return the headers unchanged: there are none of a body, which Werkzeug would remove."""
        return self.headers
