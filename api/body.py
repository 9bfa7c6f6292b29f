"""What a request carries: its JSON, form or query, read within bounds and as plain values for a schema."""

from __future__ import annotations

import json
from typing import Any, NoReturn

import orjson
from flask import request
from marshmallow import ValidationError
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.exceptions import RequestEntityTooLarge

from .errors import BadRequest, Invalid, UnsupportedMediaType

KIB = 1024
MAX_BODY = 64 * KIB
MAX_FILE = 10 * KIB * KIB
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
NO_OBJECT = 'Send a JSON object, such as {"name": "Rex"}'


def read_body(takes_file: bool) -> dict[str, Any]:
    """The fields of the body, by its content type. `takes_file` allows a multipart form with a file.

    Raises `BadRequest` (400) for what can't be read, 413, 415, and 422 for JSON that is not an object of text.
    """
    kind = request.mimetype
    request.max_content_length = MAX_BODY + (MAX_FILE if takes_file and kind == MULTIPART else 0)
    request.max_form_memory_size = MAX_BODY
    if kind in (FORM, MULTIPART):
        values = sent_values()
        refuse_rest()
        return single_values(values)
    data = request.get_data(cache=False)
    refuse_rest()
    if data and not request.is_json:
        raise UnsupportedMediaType("Send the body as JSON, with Content-Type: application/json, or as a form")
    return read_json(data)


def refuse_rest() -> None:
    """Raise 413 where a chunked body goes on after its limit, at which Werkzeug cuts it off without a word."""
    is_chunked = request.content_length is None and request.environ.get("wsgi.input_terminated")
    if is_chunked and request.environ["wsgi.input"].read(1):
        raise RequestEntityTooLarge


def read_query() -> dict[str, Any]:
    """The parameters of the query."""
    return single_values(request.args)


def single_values(values: MultiDict[str, Any]) -> dict[str, Any]:
    """Each value by its name. Raises `ValidationError` where one is given twice."""
    repeated = [name for name, given in values.lists() if len(given) > 1]
    if repeated:
        raise ValidationError({name: ["Send this once."] for name in repeated})
    return values.to_dict()


def sent_values() -> MultiDict[str, Any]:
    """The texts and files of a form. A browser's file input that was left empty is no file."""
    values: MultiDict[str, Any] = MultiDict(request.form)
    for name, file in request.files.items(multi=True):
        size = size_of(file)
        if size > MAX_FILE:
            raise RequestEntityTooLarge
        if file.filename or size:
            values.add(name, file)
    return values


def size_of(file: FileStorage) -> int:
    """How many bytes a file has."""
    size = file.stream.seek(0, 2)
    file.stream.seek(0)
    return size


def read_json(data: bytes) -> dict[str, Any]:
    """The object that this JSON holds."""
    if not data.strip():
        raise BadRequest("The body is empty. Send a JSON object, with Content-Type: application/json")
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        refuse_json(data)
    if not isinstance(value, dict):
        raise Invalid(NO_OBJECT)
    return value


def refuse_json(data: bytes) -> NoReturn:
    """Say what is wrong with JSON that can't be taken. Half a surrogate pair is still JSON, so it names its field."""
    try:
        value = json.loads(data.decode(), parse_constant=refuse_constant)
        parts = value.items() if isinstance(value, dict) else [("", value)]
        broken = [name for name, part in parts if not is_text(json.dumps([name, part], ensure_ascii=False))]
    except (ValueError, RecursionError):
        raise BadRequest("The body is not JSON. Look for a missing quote, bracket or comma") from None
    if not broken:
        raise BadRequest("The body holds a number that is too large, or nests too deep")
    if not isinstance(value, dict):
        raise Invalid(NO_OBJECT)
    raise ValidationError({name: ["This holds half a surrogate pair, which is no character."] for name in broken})


def refuse_constant(name: str) -> NoReturn:
    """Refuse NaN and Infinity, which are not JSON (RFC 8259, section 6)."""
    raise ValueError(name)


def is_text(text: str) -> bool:
    """Whether a text can be written in UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
