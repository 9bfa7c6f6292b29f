"""What a request carries: its JSON, form or query, read within bounds and as plain values for a schema."""

from __future__ import annotations

import json
import re
import secrets
import time
from typing import IO, Any, NamedTuple, NoReturn, cast

import flask
import orjson
from flask import request
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser
from werkzeug.utils import cached_property

from .concurrency import body_limiter
from .errors import BadRequest, UnprocessableEntity, UnsupportedMediaType

# How many queries are remembered as they were read, since the same ones come again and again; and how many bytes such
# a query has at most.
QUERY_CACHE_SIZE, MAX_CACHED_QUERY_BYTES = 1000, 500
KIB = 1024
MAX_BODY = 64 * KIB
MAX_FILE = 10 * KIB * KIB
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
EXPECTED_OBJECT = 'Send a JSON object, such as {"name": "Rex"}'
BROKEN_FORM = "The form can't be read. Is it whole, does its Content-Type name its boundary, has each part a name?"
SEND_JSON = "Send the body as JSON, with Content-Type: application/json, or as a form"


class ParsedInput(NamedTuple):
    """What was sent: values by name, and what is wrong with those that no schema needs to look at."""

    values: dict[str, Any]
    errors: dict[str, list[str]]


class Request(flask.Request):
    """A request that knows when it came and what `id` it goes by: the client's own, where it is a good one.

    It says when its query or form can't be read, and closes its files also then.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.started = time.perf_counter()
        wished = self.environ.get("HTTP_X_REQUEST_ID", "")
        self.id = wished if REQUEST_ID.fullmatch(wished) else secrets.token_hex(16)

    @cached_property
    def args(self) -> MultiDict[str, str]:
        """The parameters of the query. Raises `BadRequest` where they are not UTF-8."""
        try:
            return super().args
        except UnicodeError:
            raise BadRequest("The query is not UTF-8. Percent-encode it") from None

    def make_form_data_parser(self) -> FormDataParser:
        """Werkzeug's parser, raising `ValueError` where it would give an empty form."""
        parser = super().make_form_data_parser()
        parser.silent = False
        return parser

    def _get_file_stream(self, *args: Any, **kwargs: Any) -> IO[bytes]:
        stream = super()._get_file_stream(*args, **kwargs)
        self.__dict__.setdefault("file_streams", []).append(stream)
        return stream

    def close(self) -> None:
        """Close all files, in a form that was read or not."""
        super().close()
        for stream in self.__dict__.get("file_streams", ()):
            stream.close()


def current_request() -> Request:
    """The request. Each look through Flask's own `request` takes longer than what it finds."""
    return cast("Request", request._get_current_object())  # type: ignore[attr-defined]


def read_body(takes_file: bool) -> ParsedInput:
    """The fields of the body, by its content type. `takes_file` allows a multipart form with a file.

    Raises `BadRequest` (400) for what can't be read, 413, 415, `UnprocessableEntity` (422) for JSON that is no object,
    and `Unavailable` (503) where too many are slow with theirs.
    """
    kind = request.mimetype
    if kind and kind not in (FORM, MULTIPART) and not request.is_json:
        raise UnsupportedMediaType(SEND_JSON)
    limit = MAX_BODY + (MAX_FILE if takes_file and kind == MULTIPART else 0)
    # At its limit, Werkzeug cuts a chunked body off without a word. One byte more shows that there was more.
    request.max_content_length = limit + 1
    is_form = kind in (FORM, MULTIPART)
    with body_limiter():
        sent: Any = parse_form() if is_form else request.get_data(cache=False)
    if request.stream.tell() > limit:
        raise RequestEntityTooLarge
    if is_form:
        return reject_duplicates(sent)
    if sent and not kind:
        raise UnsupportedMediaType(SEND_JSON)
    return read_json(sent)


def reject_oversized_body() -> None:
    """Raise 413 for a body that is too large, where none is read."""
    if (request.content_length or 0) > MAX_BODY:
        raise RequestEntityTooLarge


def read_query() -> ParsedInput:
    """The parameters of the query."""
    return reject_duplicates(request.args)


def reject_duplicates(values: MultiDict[str, Any]) -> ParsedInput:
    """Each value by its name; it is an error to give one twice."""
    repeated = [name for name, given in values.lists() if len(given) > 1]
    return ParsedInput(values.to_dict(), {name: ["Send this once."] for name in repeated})


def parse_form() -> MultiDict[str, Any]:
    """The texts and files of a form. A browser's file input that was left empty is no file."""
    try:
        values: MultiDict[str, Any] = MultiDict(request.form)
        files = list(request.files.items(multi=True))
    except ValueError:
        raise BadRequest(BROKEN_FORM) from None
    is_nothing = request.mimetype == MULTIPART and not request.stream.tell()
    if is_nothing or None in [*values, *(name for name, _ in files)]:
        raise BadRequest(BROKEN_FORM)
    if any(name.lstrip().startswith("{") for name in values):
        raise UnsupportedMediaType(f"This looks like JSON, but is said to be a form. {SEND_JSON}")
    sent_files = [(name, file) for name, file in files if file.filename or size_of(file)]
    if (request.stream.tell() > MAX_BODY and not sent_files) or any(size_of(file) > MAX_FILE for _, file in sent_files):
        raise RequestEntityTooLarge
    values.update(MultiDict(sent_files))
    return values


def size_of(file: FileStorage) -> int:
    """How many bytes a file has."""
    size = file.stream.seek(0, 2)
    file.stream.seek(0)
    return size


def read_json(data: bytes) -> ParsedInput:
    """The object that this JSON holds."""
    if not data.strip():
        raise BadRequest("The body is empty. Send a JSON object, with Content-Type: application/json")
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return parse_json_leniently(data)
    if not isinstance(value, dict):
        raise UnprocessableEntity(EXPECTED_OBJECT)
    return ParsedInput(value, {})


def parse_json_leniently(data: bytes) -> ParsedInput:
    """What orjson refuses: half a surrogate pair is still JSON, and wrong in its field alone; all else is 400."""
    try:
        value = json.loads(data.decode(), parse_constant=reject_constant)
        parts = value.items() if isinstance(value, dict) else [("", value)]
        broken = [name for name, part in parts if not is_encodable(json.dumps([name, part], ensure_ascii=False))]
    except (ValueError, RecursionError):
        raise BadRequest("The body is not JSON. Look for a missing quote, bracket or comma") from None
    if not broken:
        raise BadRequest("The body holds a number that is too large, or nests too deep")
    if not isinstance(value, dict):
        raise UnprocessableEntity(EXPECTED_OBJECT)
    return ParsedInput(value, {name: ["This holds half a surrogate pair, which is no character."] for name in broken})


def reject_constant(name: str) -> NoReturn:
    """Refuse NaN and Infinity, which are not JSON (RFC 8259, section 6)."""
    raise ValueError(name)


def is_encodable(text: str) -> bool:
    """Whether a text can be written in UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
