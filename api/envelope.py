"""How an answer is written down."""

from __future__ import annotations

from typing import Any

import orjson
from flask import Response

JSON = "application/json"
PROBLEM = "application/problem+json"


def envelope(data: Any, status: int, **siblings: Any) -> dict[str, Any]:
    """The one shape of a success: `{"data": ..., "status": {"code", "message"}}`, and siblings such as `page`."""
    return {"data": data, "status": {"code": status, "message": "Success"}, **siblings}


def json_response(body: Any, status: int, mimetype: str = JSON) -> Response:
    """A response of JSON in UTF-8 (RFC 8259)."""
    return Response(orjson.dumps(body), status, mimetype=mimetype)
