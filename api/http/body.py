"""Request parsing: JSON, form or query to plain values for a schema, with size limits."""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF8
from typing import Any, NamedTuple, NoReturn

import orjson
from flask import Flask, Response, request
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge
from werkzeug.wsgi import get_input_stream

from .concurrency import limiters
from .errors import BadRequest, Unavailable, UnprocessableEntity, UnsupportedMediaType
from .forms import MALFORMED_FORM, parse_multipart, parse_urlencoded
from .request import current_request

KIB = 1024
MAX_BODY_BYTES = 64 * KIB
MAX_UPLOAD_BYTES = 10 * KIB * KIB
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
EXPECTED_OBJECT = 'Expected a JSON object, e.g. {"name": "Rex"}'
# The start of a URL-encoded or a multipart form.
FORM_START = re.compile(rb"[\w.%+-]+=|--")
FORM_AS_JSON = "Body looks like a form but Content-Type is application/json. Send JSON, or the type of the form"
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
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("Send the body without a Content-Encoding")
    if takes_file and kind.startswith("image/"):
        raise UnsupportedMediaType("Send the picture as the part `file` of a multipart form, not as the body")
    if kind and kind not in (FORM, MULTIPART) and not request.is_json:
        raise UnsupportedMediaType(SEND_JSON)
    limit = MAX_BODY_BYTES + (MAX_UPLOAD_BYTES if takes_file and kind == MULTIPART else 0)
    # Werkzeug silently truncates a chunked body at its limit. One byte more reveals that there was more.
    request.max_content_length = limit + 1
    is_form = kind in (FORM, MULTIPART)
    with limiters.get().bodies.acquire(address=request.remote_addr or ""):
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
    unread, length = MAX_UPLOAD_BYTES + MAX_BODY_BYTES, current_request().content_length
    started = vars(current_request()).get("stream")
    if started and started.tell() == length:
        return True
    if "HTTP_EXPECT" in environ or (length or 0) > unread:
        return False
    # Where the server does not end the input with the body, reading on would wait for the next request.
    is_terminated = environ.get("wsgi.input_terminated")
    stream = environ["wsgi.input"] if is_terminated else started or get_input_stream(environ)
    try:
        with limiters.get().bodies.acquire(address=request.remote_addr or ""):
            while unread > 0:
                part = stream.read(MAX_BODY_BYTES)
                if not part:
                    return True
                unread -= len(part)
    except (Unavailable, ClientDisconnected):
        pass
    return False


def parse_query(query_string: bytes) -> ParsedInput:
    """Parse a query string. Raises `BadRequest` where it is not UTF-8."""
    return reject_duplicates(parse_urlencoded(query_string, "Query string is not valid UTF-8"))


def reject_duplicates(values: MultiDict[str, Any]) -> ParsedInput:
    """Return the values by name, with an error for each name that occurs more than once."""
    repeated = [name for name, given in values.lists() if len(given) > 1]
    return ParsedInput(values.to_dict(), {name: ["Duplicate field."] for name in repeated})


def parse_form() -> MultiDict[str, Any]:
    """Return the fields and files of a form. A browser's empty file input counts as no file."""
    if request.mimetype == FORM:
        values: MultiDict[str, Any] = parse_urlencoded(request.get_data(cache=False))
    else:
        values = parse_multipart(current_request(), MAX_BODY_BYTES)
        if not request.stream.tell():
            raise BadRequest(MALFORMED_FORM)
    if any(name.lstrip().startswith("{") for name in values):
        raise UnsupportedMediaType(f"Body looks like JSON but Content-Type is a form. {SEND_JSON}")
    given = [(name, value) for name, value in values.items(multi=True) if not is_empty_file(value)]
    sizes = [file_size(value) for _, value in given if isinstance(value, FileStorage)]
    # All but the files is limited as any other body, texts and headers of parts alike.
    if max(sizes, default=0) > MAX_UPLOAD_BYTES or request.stream.tell() - sum(sizes) > MAX_BODY_BYTES:
        raise RequestEntityTooLarge
    return MultiDict(given)


def is_empty_file(value: Any) -> bool:
    """Return whether this is what browsers send for a file input without a file."""
    return isinstance(value, FileStorage) and not value.filename and not file_size(value)


def file_size(file: FileStorage) -> int:
    """Return the size of a file in bytes."""
    size = file.stream.seek(0, 2)
    file.stream.seek(0)
    return size


def parse_json(data: bytes) -> ParsedInput:
    """Parse a JSON object, after a byte order mark if there is one."""
    data = data.removeprefix(BOM_UTF8)
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
    except UnicodeDecodeError:
        raise BadRequest("JSON is not valid UTF-8") from None
    except (ValueError, RecursionError):
        raise BadRequest(FORM_AS_JSON if FORM_START.match(data) else "Invalid JSON") from None
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
