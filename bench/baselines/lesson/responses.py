"""The response envelope."""

from datetime import datetime
from typing import Any

from flask import Response, jsonify
from flask.json.provider import DefaultJSONProvider


class JSONProvider(DefaultJSONProvider):
    """Flask's JSON provider, with RFC 3339 timestamps instead of HTTP dates."""

    @staticmethod
    def default(value: Any) -> Any:
        """Serialize a value that JSON does not support."""
        if isinstance(value, datetime):
            return value.isoformat() + "Z"
        return DefaultJSONProvider.default(value)


def respond(data: Any, code: int = 200, message: str = "Success") -> tuple[Response, int]:
    """Return a response with the data and status in the envelope."""
    return jsonify(data=data, status={"code": code, "message": message}), code
