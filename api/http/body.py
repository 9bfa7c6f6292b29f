"""Request parsing: JSON, form or query to plain values for a schema, with size limits."""

from __future__ import annotations

import json
from typing import Any, NamedTuple, NoReturn
from urllib.parse import parse_qsl

import orjson
from flask import Flask, Response, request
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.exceptions import RequestEntityTooLarge

from .concurrency import limiters
from .errors import BadRequest, Unavailable, UnprocessableEntity, UnsupportedMediaType
from .request import current_request

KIB = 1024
MAX_BODY_BYTES = 64 * KIB
MAX_UPLOAD_BYTES = 10 * KIB * KIB
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
EXPECTED_OBJECT = 'Expected a JSON object, e.g. {"name": "Rex"}'
MALFORMED_FORM = "Malformed form data: check the boundary parameter and that every part has a name"
SEND_JSON = "Send JSON with Content-Type: application/json, or a form"


class ParsedInput(NamedTuple):
    """Values by name, and the errors of those that could not be parsed, before validation by a schema."""

    values: dict[str, Any]
    errors: dict[str, list[str]]


def init_app(app: Flask) -> None:
    """Leave no body unread."""
    app.after_request(finish_body)


def read_body(takes_file: bool) -> ParsedInput:
    """Parse the body by its content type. `takes_file` allows a multipart form with a file.

    Raises `BadRequest` (400) for a body that can't be parsed, 413, 415, `UnprocessableEntity` (422) for JSON that is
    not an object, and `Unavailable` (503) while too many other bodies are being received.
    """
    kind = request.mimetype
    if kind and kind not in (FORM, MULTIPART) and not request.is_json:
        raise UnsupportedMediaType(SEND_JSON)
    limit = MAX_BODY_BYTES + (MAX_UPLOAD_BYTES if takes_file and kind == MULTIPART else 0)
    # Werkzeug silently truncates a chunked body at its limit. One byte more reveals that there was more.
    request.max_content_length = limit + 1
    is_form = kind in (FORM, MULTIPART)
    with limiters.get().bodies.acquire():
        body: Any = parse_form() if is_form else request.get_data(cache=False)
    if request.stream.tell() > limit:
        raise RequestEntityTooLarge
    if is_form:
        return reject_duplicates(body)
    if body and not kind:
        raise UnsupportedMediaType(SEND_JSON)
    return parse_json(body)


def reject_oversized_body() -> None:
    """Raise 413 for a body over the limit, on a verb that does not read one."""
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise RequestEntityTooLarge


def finish_body(response: Response) -> Response:
    """After each request: read and drop what is left of its body, or announce the end of the connection.

    A server that closes a connection with unread data resets it. The client would lose the response, or its next
    request (RFC 9112, section 9.6).
    """
    environ = current_request().environ
    if ("CONTENT_LENGTH" in environ or "HTTP_TRANSFER_ENCODING" in environ) and not drain_body(environ):
        response.headers["Connection"] = "close"
    return response


def drain_body(environ: dict[str, Any]) -> bool:
    """Return whether the body ended after at most `MAX_UPLOAD_BYTES` and `MAX_BODY_BYTES` more.

    A client that waits for `100 Continue` is not asked for its body.
    """
    unread = MAX_UPLOAD_BYTES + MAX_BODY_BYTES
    if "HTTP_EXPECT" in environ or (current_request().content_length or 0) > unread:
        return False
    try:
        with limiters.get().bodies.acquire():
            while unread > 0:
                part = environ["wsgi.input"].read(MAX_BODY_BYTES)
                if not part:
                    return True
                unread -= len(part)
    except Unavailable:
        pass
    return False


def parse_query(query_string: bytes) -> ParsedInput:
    """Parse a query string. Raises `BadRequest` where it is not UTF-8; invalid escapes stay percent-encoded."""
    try:
        text = query_string.decode()
    except UnicodeError:
        raise BadRequest("Query string is not valid UTF-8") from None
    return reject_duplicates(MultiDict(parse_qsl(text, keep_blank_values=True, errors="werkzeug.url_quote")))


def reject_duplicates(values: MultiDict[str, Any]) -> ParsedInput:
    """Return the values by name, with an error for each name that occurs more than once."""
    repeated = [name for name, given in values.lists() if len(given) > 1]
    return ParsedInput(values.to_dict(), {name: ["Duplicate field."] for name in repeated})


def parse_form() -> MultiDict[str, Any]:
    """Return the fields and files of a form. A browser's empty file input counts as no file."""
    try:
        values: MultiDict[str, Any] = MultiDict(request.form)
        files = list(request.files.items(multi=True))
    except ValueError:
        raise BadRequest(MALFORMED_FORM) from None
    is_empty = request.mimetype == MULTIPART and not request.stream.tell()
    if is_empty or None in [*values, *(name for name, _ in files)]:
        raise BadRequest(MALFORMED_FORM)
    if any(name.lstrip().startswith("{") for name in values):
        raise UnsupportedMediaType(f"Body looks like JSON but Content-Type is a form. {SEND_JSON}")
    files = [(name, file) for name, file in files if file.filename or file_size(file)]
    sizes = [file_size(file) for _, file in files]
    # All but the files is limited as any other body, texts and headers of parts alike.
    if max(sizes, default=0) > MAX_UPLOAD_BYTES or request.stream.tell() - sum(sizes) > MAX_BODY_BYTES:
        raise RequestEntityTooLarge
    values.update(MultiDict(files))
    return values


def file_size(file: FileStorage) -> int:
    """Return the size of a file in bytes."""
    size = file.stream.seek(0, 2)
    file.stream.seek(0)
    return size


def parse_json(data: bytes) -> ParsedInput:
    """Parse a JSON object."""
    if not data.strip():
        raise BadRequest("Empty body. Send a JSON object with Content-Type: application/json")
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return parse_json_leniently(data)
    if not isinstance(value, dict):
        raise UnprocessableEntity(EXPECTED_OBJECT)
    return ParsedInput(value, {})


def parse_json_leniently(data: bytes) -> ParsedInput:
    """Parse what orjson rejects: an unpaired surrogate is valid JSON, so only its field is invalid (422). Else 400."""
    try:
        value = json.loads(data.decode(), parse_constant=reject_constant)
        parts = value.items() if isinstance(value, dict) else [("", value)]
        broken = [name for name, part in parts if not is_encodable(json.dumps([name, part], ensure_ascii=False))]
    except (ValueError, RecursionError):
        raise BadRequest("Invalid JSON") from None
    if not broken:
        raise BadRequest("JSON number out of range, or nesting too deep")
    if not isinstance(value, dict):
        raise UnprocessableEntity(EXPECTED_OBJECT)
    return ParsedInput(value, {name: ["Contains an unpaired surrogate (invalid Unicode)."] for name in broken})


def reject_constant(name: str) -> NoReturn:
    """Raise `ValueError` for NaN and Infinity, which are not JSON (RFC 8259, section 6)."""
    raise ValueError(name)


def is_encodable(text: str) -> bool:
    """Return whether a string can be encoded as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
