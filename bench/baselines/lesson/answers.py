"""The shape of all answers."""

from datetime import datetime
from typing import Any

from flask import Response, jsonify
from flask.json.provider import DefaultJSONProvider


class JSONProvider(DefaultJSONProvider):
    """Flask's JSON, with times as RFC 3339 instead of those of HTTP."""

    @staticmethod
    def default(value: Any) -> Any:
        """How a value is written that JSON does not know."""
        if isinstance(value, datetime):
            return value.isoformat() + "Z"
        return DefaultJSONProvider.default(value)


def answer(data: Any, code: int = 200, message: str = "Success") -> tuple[Response, int]:
    """Data and its status, which is the status of the answer too."""
    return jsonify(data=data, status={"code": code, "message": message}), code
