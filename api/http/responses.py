"""How an answer is written down."""

from __future__ import annotations

from typing import Any

import orjson
from flask import Response
from werkzeug.datastructures import Headers

JSON = "application/json"
PROBLEM = "application/problem+json"


def success_body(data: Any, status: int, **siblings: Any) -> dict[str, Any]:
    """The one shape of a success: `{"data": ..., "status": {"code", "message"}}`, and siblings such as `page`."""
    return {"data": data, "status": {"code": status, "message": "Success"}, **siblings}


class JsonResponse(Response):
    """A response of JSON in UTF-8 (RFC 8259). It has a body, whatever the status."""

    def __init__(self, body: Any, status: int, mimetype: str = JSON) -> None:
        super().__init__(orjson.dumps(body), status, content_type=mimetype)

    def get_wsgi_headers(self, environ: Any) -> Headers:
        """The headers as they are. Werkzeug looks for a missing length and a Location that is no whole URL."""
        return self.headers

    def get_app_iter(self, environ: Any) -> Any:
        """The body. Nothing is to be closed when it has been sent."""
        return () if environ["REQUEST_METHOD"] == "HEAD" else self.response


class NotModified(Response):
    """What says that the reader has it already (RFC 9110, section 15.4.5)."""

    def __init__(self) -> None:
        super().__init__(status=304)
        self.headers.clear()  # nothing is sent that a type would tell of

    def get_wsgi_headers(self, environ: Any) -> Headers:
        """The headers as they are. Werkzeug looks for those that tell of a content."""
        return self.headers
