"""Error handling: every exception becomes an error response with a type, a message and the fields at fault."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

import peewee
from flask import Flask, Response, request
from limits.errors import StorageError
from marshmallow import ValidationError
from werkzeug.exceptions import ClientDisconnected, HTTPException

from models import Conflict, NotFound, SessionExpired, VersionConflict
from models.db.errors import is_disk_full

from .error_types import ERROR_TYPES
from .request import current_request
from .responses import JSON, PROBLEM, JsonResponse

FIELD_NAME = re.compile(r"[A-Za-z0-9_.\[\]-]{0,64}")
BY_STATUS = {kind.status: kind for kind in reversed(ERROR_TYPES.values())}
log = logging.getLogger("kennel")


class ApiError(Exception):
    """An error that a resource raises on purpose. `fields` maps field names to messages; `headers` are sent with it."""

    slug = "bad-request"

    def __init__(
        self,
        message: str,
        fields: Mapping[str, list[str]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.fields = fields
        self.headers = headers or {}


class BadRequest(ApiError):
    """400: the request is malformed."""


class Unauthorized(ApiError):
    """401, with a challenge (RFC 9110, section 15.5.2): the request has no valid credentials."""

    slug = "unauthorized"

    def __init__(self, message: str = "Authentication required") -> None:
        super().__init__(message, headers={"WWW-Authenticate": "Bearer"})


class Forbidden(ApiError):
    """403: the user may not do this."""

    slug = "forbidden"


class CrossOriginForbidden(ApiError):
    """403: a browser sent an unsafe request from a page of an origin that is not trusted (CSRF)."""

    slug = "cross-site"


class UnsupportedMediaType(ApiError):
    """415: the body has a content type that this verb does not read."""

    slug = "unsupported-media-type"


class UnprocessableEntity(ApiError):
    """422: the request was parsed, but is invalid."""

    slug = "validation"


class TooManyRequests(ApiError):
    """429: a rate limit is exceeded; retry after so many `seconds`."""

    slug = "too-many-requests"

    def __init__(self, message: str, seconds: int) -> None:
        super().__init__(message, headers={"Retry-After": str(seconds)})


class Unavailable(ApiError):
    """503: temporarily unavailable; retry after so many `seconds`."""

    slug = "unavailable"

    def __init__(self, message: str, seconds: int = 1, fields: Mapping[str, list[str]] | None = None) -> None:
        super().__init__(message, fields, {"Retry-After": str(seconds)})


class StorageUnavailable(Exception):
    """The picture storage can't be reached."""


class StorageFull(Exception):
    """The picture storage has no space left."""


# Messages of HTTP exceptions. Others have the title of their error type.
MESSAGES = {
    400: "Malformed request",
    413: "Request body too large (limit 64 KiB; 10 MiB for uploads)",
}
DATABASE_UNAVAILABLE = "Database unavailable. Please retry"
DISK_FULL_MESSAGE = "Insufficient storage: the server's disk is full"


def init_app(app: Flask) -> None:
    """Register `handle_exception` for every exception."""
    app.register_error_handler(Exception, handle_exception)


def handle_exception(error: Exception) -> Response:
    """Return the error response: the envelope, or RFC 9457 problem details if the client prefers them."""
    slug, message, fields, headers = to_problem(error)
    kind = ERROR_TYPES[slug]
    current_request().log_fields["error_type"] = kind.path
    if kind.status >= 500 and not isinstance(error, ApiError):
        cause = root_cause(error)
        log.error("Unhandled exception%s", cause and f" ({cause})", exc_info=error)
    properties: dict[str, Any] = {"type": kind.path, "request_id": current_request().id}
    if fields:
        properties["fields"] = fields
    if accepts_problem_json():
        body = {"title": kind.title, "status": kind.status, "detail": message, **properties}
        response = JsonResponse(body, kind.status, PROBLEM)
    else:
        status = {"code": kind.status, "message": message}
        response = JsonResponse({"data": {}, "status": status, "error": properties}, kind.status)
    response.headers.extend(headers)
    response.vary.add("Accept")
    return response


def root_cause(error: Exception) -> str:
    """Return the operating system's or the store's reason behind an error, never anything that a user sent."""
    return getattr(error.__cause__, "strerror", None) or ""


def to_problem(error: Exception) -> tuple[str, str, Mapping[str, Any] | None, Mapping[str, str]]:
    """Return the slug, message, fields and headers of an exception. An unknown one is a bug: 500."""
    match error:
        case ApiError():
            return error.slug, str(error), error.fields, error.headers
        case ValidationError():
            fields = field_messages(error)
            return "validation", "Validation failed: " + ", ".join(fields), fields, {}
        case Conflict():
            return "conflict", str(error), error.fields, {}
        case SessionExpired():
            return to_problem(Unauthorized(str(error)))
        case VersionConflict():
            return "precondition-failed", str(error), None, {}
        case NotFound():
            return "not-found", str(error), None, {}
        case HTTPException():
            return http_error(error)
        case peewee.IntegrityError():
            return "conflict", "A referenced record was deleted. Reload and retry", None, {}
        case StorageUnavailable():
            return "unavailable", str(error), None, {"Retry-After": "5"}
        case StorageFull():
            return "insufficient-storage", str(error), None, {}
        case peewee.DatabaseError() if is_disk_full(error):
            return "insufficient-storage", DISK_FULL_MESSAGE, None, {}
        case peewee.OperationalError() | peewee.InterfaceError() | StorageError():
            return "unavailable", DATABASE_UNAVAILABLE, None, {"Retry-After": "1"}
    return "internal", ERROR_TYPES["internal"].title, None, {}


def http_error(error: HTTPException) -> tuple[str, str, None, Mapping[str, str]]:
    """Like `to_problem`, for HTTP exceptions. Werkzeug's descriptions may quote the request, so ours replace them."""
    code = 400 if isinstance(error, ClientDisconnected) else error.code or 500
    kind = BY_STATUS.get(code) or BY_STATUS[400 if code < 500 else 500]
    allow = getattr(error, "valid_methods", None)
    headers = {"Allow": ", ".join(sorted(allow))} if allow else {}
    return kind.slug, MESSAGES.get(kind.status, kind.title), None, headers


def field_messages(error: ValidationError) -> dict[str, Any]:
    """Return the messages by field.

    What does not look like a field name becomes `?`: it may be an entire body, password included, that was sent with
    the wrong content type.
    """
    messages = error.messages_dict
    return {name if FIELD_NAME.fullmatch(name) else "?": texts for name, texts in messages.items()}


def accepts_problem_json() -> bool:
    """Return whether the client names RFC 9457's media type and does not prefer plain JSON."""
    accept = request.accept_mimetypes
    named = any(value.lower() == PROBLEM and quality for value, quality in accept)
    return named and accept[PROBLEM] >= accept[JSON]
