"""The one door out for everything that goes wrong: exception in; status, type, message and fields out."""

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

from .error_types import ERROR_TYPES
from .outages import DISK_FULL_MESSAGE, StorageFull, StorageUnavailable, is_full, root_cause
from .responses import JSON, PROBLEM, JsonResponse

FIELD_NAME = re.compile(r"[A-Za-z0-9_.-]{0,64}")
BY_STATUS = {kind.status: kind for kind in reversed(ERROR_TYPES.values())}
log = logging.getLogger("kennel")


class ApiError(Exception):
    """A refusal that a resource decided on. `fields` maps fields at fault to messages, `headers` go out with it."""

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
    """The request can't be read."""


class Unauthorized(ApiError):
    """Nobody is logged in by this request (RFC 9110, section 15.5.2: with a challenge)."""

    slug = "unauthorized"

    def __init__(self, message: str = "Log in first") -> None:
        super().__init__(message, headers={"WWW-Authenticate": "Bearer"})


class Forbidden(ApiError):
    """Somebody is logged in, but this is not theirs to do."""

    slug = "forbidden"


class CrossOriginForbidden(ApiError):
    """A browser speaks for a page of a foreign site."""

    slug = "cross-site"


class UnsupportedMediaType(ApiError):
    """The body is of a type that is not read here."""

    slug = "unsupported-media-type"


class UnprocessableEntity(ApiError):
    """The request was read, but can't be taken."""

    slug = "validation"


class TooManyRequests(ApiError):
    """A limit is reached; `seconds` says when to try again."""

    slug = "too-many-requests"

    def __init__(self, message: str, seconds: int) -> None:
        super().__init__(message, headers={"Retry-After": str(seconds)})


class Unavailable(ApiError):
    """Not now; `seconds` says when to try again."""

    slug = "unavailable"

    def __init__(self, message: str, seconds: int = 1, fields: Mapping[str, list[str]] | None = None) -> None:
        super().__init__(message, fields, {"Retry-After": str(seconds)})


MESSAGES = {
    400: "The request can't be read",
    404: "There is nothing at this address",
    405: "This address does not take that method",
    413: "The body is too large: at most 64 KiB, and 10 MiB for a picture",
    500: "The server made a mistake. It is not your fault",
}
DATABASE_UNAVAILABLE = "The database can't be reached right now. Try again in a moment"


def init_app(app: Flask) -> None:
    """Send every exception through `answer`."""
    app.register_error_handler(Exception, handle_exception)


def handle_exception(error: Exception) -> Response:
    """The response for an exception, in the envelope, or as RFC 9457 to a client that asks for it."""
    slug, message, fields, headers = to_problem(error)
    kind = ERROR_TYPES[slug]
    if kind.status >= 500 and not isinstance(error, ApiError):
        because = root_cause(error)
        log.error("The request failed%s", because and f" ({because})", exc_info=error)
    facts: dict[str, Any] = {"type": kind.path, "request_id": request.id}  # type: ignore[attr-defined]
    if fields:
        facts["fields"] = fields
    if accepts_problem_json():
        body = {"title": kind.title, "status": kind.status, "detail": message, **facts}
        response = JsonResponse(body, kind.status, PROBLEM)
    else:
        status = {"code": kind.status, "message": message}
        response = JsonResponse({"data": {}, "status": status, "error": facts}, kind.status)
    response.headers.extend(headers)
    response.vary.add("Accept")
    return response


def to_problem(error: Exception) -> tuple[str, str, Mapping[str, Any] | None, Mapping[str, str]]:
    """The slug, message, fields and headers of an exception. What is not known here is our own mistake."""
    match error:
        case ApiError():
            return error.slug, str(error), error.fields, error.headers
        case ValidationError():
            fields = field_messages(error)
            return "validation", "Please correct: " + ", ".join(fields), fields, {}
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
            return "conflict", "Something that this needs has just been deleted. Read it again", None, {}
        case StorageUnavailable():
            return "unavailable", str(error), None, {"Retry-After": "5"}
        case StorageFull():
            return "insufficient-storage", str(error), None, {}
        case peewee.DatabaseError() if is_full(error):
            return "insufficient-storage", DISK_FULL_MESSAGE, None, {}
        case peewee.OperationalError() | peewee.InterfaceError() | StorageError():
            return "unavailable", DATABASE_UNAVAILABLE, None, {"Retry-After": "1"}
    return "internal", MESSAGES[500], None, {}


def http_error(error: HTTPException) -> tuple[str, str, None, Mapping[str, str]]:
    """As `explain`, for what Flask and Werkzeug raise. Their own texts may quote the request; ours don't."""
    code = 400 if isinstance(error, ClientDisconnected) else error.code or 500
    kind = BY_STATUS.get(code) or BY_STATUS[400 if code < 500 else 500]
    allow = getattr(error, "valid_methods", None)
    headers = {"Allow": ", ".join(sorted(allow))} if allow else {}
    return kind.slug, MESSAGES.get(kind.status, kind.title), None, headers


def field_messages(error: ValidationError) -> dict[str, Any]:
    """Each wrong field with its messages.

    What does not look like the name of a field becomes `?`: it may be a whole body, password and all, that was sent
    by the wrong content type.
    """
    messages = error.messages_dict
    return {name if FIELD_NAME.fullmatch(name) else "?": texts for name, texts in messages.items()}


def accepts_problem_json() -> bool:
    """Whether the client names RFC 9457's media type, and does not like plain JSON better."""
    accept = request.accept_mimetypes
    named = any(value.lower() == PROBLEM and quality for value, quality in accept)
    return named and accept[PROBLEM] >= accept[JSON]
