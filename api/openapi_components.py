"""The components of the OpenAPI document, which the operations share: security schemes, headers and error responses."""

from __future__ import annotations

from typing import Any

from apispec import APISpec

from .http.error_types import ERROR_TYPES
from .http.responses import JSON, PROBLEM

Json = dict[str, Any]

# Response headers. `X-Request-ID` is always sent, others with a status or where a method declares them.
HEADERS = {
    "X-Request-ID": "The ID of this request in the server's log.",
    "ETag": "The version of the representation (RFC 9110, section 8.8.3).",
    "Link": 'The URL of the next page, with `rel="next"`, if there is one (RFC 8288).',
    "Location": "The URL of the created resource, or of the redirect.",
    "Retry-After": "Seconds to wait before retrying.",
    "WWW-Authenticate": "`Bearer`: the authentication scheme that is accepted instead of the cookie.",
}
STATUS_HEADERS = {
    302: ["Location"],
    304: ["ETag"],
    401: ["WWW-Authenticate"],
    429: ["Retry-After"],
    503: ["Retry-After"],
}


def strict_object(optional: Json | None = None, **required: Any) -> Json:
    """Return the JSON Schema of an object with these properties and no others."""
    properties = {**required, **(optional or {})}
    return {
        "type": "object", "required": list(required), "properties": properties, "additionalProperties": False,
    }  # fmt: skip


TEXT = {"type": "string"}
CODE = {"type": "integer", "minimum": 400, "maximum": 599}
ERROR_PROPERTIES = {
    "type": {"type": "string", "enum": [kind.path for kind in ERROR_TYPES.values()]},
    "request_id": TEXT,
}
FIELDS = {"fields": {"type": "object", "additionalProperties": {"type": "array", "items": TEXT}}}
PAGE = strict_object(limit={"type": "integer"}, next={"type": ["string", "null"]})
FAILURES = {
    JSON: strict_object(
        data=strict_object(),
        status=strict_object(code=CODE, message=TEXT),
        error=strict_object(FIELDS, **ERROR_PROPERTIES),
    ),
    PROBLEM: strict_object(FIELDS, title=TEXT, status=CODE, detail=TEXT, **ERROR_PROPERTIES),
}


def add_components(spec: APISpec, cookie: str) -> None:
    """Add the security schemes, headers and responses, for references by name."""
    spec.components.security_scheme("cookie", {"type": "apiKey", "in": "cookie", "name": cookie})
    spec.components.security_scheme("bearer", {"type": "http", "scheme": "bearer"})
    for name, meaning in HEADERS.items():
        spec.components.header(name, {"description": meaning, "required": name != "Link", "schema": TEXT})
    spec.components.schema("Failure", FAILURES[JSON])
    spec.components.schema("Problem", FAILURES[PROBLEM])
    for status in {kind.status for kind in ERROR_TYPES.values()}:
        spec.components.response(str(status), failure(status))
    spec.components.response("302", {"description": "The file is at another URL.", "headers": headers(302)})
    spec.components.response("304", {"description": "Your copy is current.", "headers": headers(304)})


def failure(status: int) -> Json:
    """Return the response object of an error status, with an example."""
    kinds = [kind for kind in ERROR_TYPES.values() if kind.status == status]
    error = {"type": kinds[0].path, "request_id": "0508c9fb52dc498a8b883ecc55b08167"}
    example = {"data": {}, "status": {"code": status, "message": kinds[0].title}, "error": error}
    return {
        "description": " ".join(kind.meaning for kind in kinds),
        "headers": headers(status),
        "content": {JSON: {"schema": "Failure", "example": example}, PROBLEM: {"schema": "Problem"}},
    }


def headers(status: int, *declared: str) -> Json:
    """Return references to the headers of a status, and to those that a method declares."""
    return {name: name for name in sorted({"X-Request-ID", *STATUS_HEADERS.get(status, []), *declared})}
