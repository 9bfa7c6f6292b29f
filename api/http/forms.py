"""Forms: their texts in strict UTF-8, and their files, whose names are never looked at."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import IO, Any
from urllib.parse import parse_qsl

from werkzeug.datastructures import FileStorage, Headers, MultiDict
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.sansio.multipart import Data, Epilogue, Event, Field, File, MultipartDecoder, NeedData

from .errors import BadRequest
from .request import Request

MAX_PARTS = 1000
CHUNK_BYTES = 64 * 1024
MALFORMED_FORM = "Malformed form data: check the boundary parameter and that every part has a name"
NOT_UTF8 = "A text of the form is not valid UTF-8. If it is a file, its part needs a filename"


def parse_urlencoded(text: bytes, message: str = "Form is not valid UTF-8") -> MultiDict[str, str]:
    """Return the fields of a URL-encoded form or a query string. Raises `BadRequest` with this message."""
    try:
        return MultiDict(parse_qsl(text.decode(), keep_blank_values=True, errors="strict"))
    except UnicodeDecodeError:
        raise BadRequest(message) from None


def parse_multipart(request: Request, max_text_bytes: int) -> MultiDict[str, Any]:
    """Return the texts and the files of a multipart form (RFC 7578).

    Raises `BadRequest`, or 413 for texts of more than `max_text_bytes` in all. The request closes the files.
    """
    values: MultiDict[str, Any] = MultiDict()
    part: Field | File | None = None
    content: IO[bytes] = BytesIO()
    unused = max_text_bytes
    try:
        for event in multipart_events(request):
            if isinstance(event, Field | File):
                part, content = event, request.open_file() if isinstance(event, File) else BytesIO()
            elif isinstance(event, Data) and part:
                content.write(event.data)
                unused -= len(event.data) if isinstance(part, Field) else 0
                if unused < 0:
                    raise RequestEntityTooLarge
                if not event.more_data:
                    content.seek(0)
                    values.add(part.name, to_value(part, content))
    except ValueError:
        raise BadRequest(MALFORMED_FORM) from None
    return values


def multipart_events(request: Request) -> Iterator[Event]:
    """Yield the parts of a multipart form and their data, as they are received. Raises `ValueError`, or 413."""
    boundary = request.mimetype_params.get("boundary", "").encode("ascii")
    if not boundary:
        raise ValueError("no boundary")
    decoder = PartDecoder(boundary, max_parts=MAX_PARTS)
    chunk: bytes | None = b""
    while chunk is not None:
        chunk = request.stream.read(CHUNK_BYTES) or None
        decoder.receive_data(chunk)
        while not isinstance(event := decoder.next_event(), Epilogue | NeedData):
            yield event


def to_value(part: Field | File, content: IO[bytes]) -> str | FileStorage:
    """Return the value of a part: a text or a file. Raises `BadRequest`, or `ValueError` for a part without a name."""
    if part.name is None:
        raise ValueError("a part without a name")
    if isinstance(part, File):
        return FileStorage(content, part.filename, part.name, headers=part.headers)
    try:
        return content.read().decode()
    except UnicodeDecodeError:
        raise BadRequest(NOT_UTF8) from None


class PartDecoder(MultipartDecoder):
    """Werkzeug's decoder of multipart forms. It accepts headers that are not UTF-8, such as a file name in Latin-1."""

    def _parse_headers(self, data: bytes | bytearray) -> Headers:
        return super()._parse_headers(data.decode(errors="replace").encode())
