"""Keyset pagination with opaque, signed cursors: no row is repeated or skipped under concurrent writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, urlencode

import orjson
import peewee
from flask import current_app
from itsdangerous import BadData, Signer, base64_decode, base64_encode
from marshmallow import ValidationError

from models.db.keyset import CursorPosition, ListQuery, QueryStrategy, fetch_after

from .request import current_request

# How many query strings are cached without their cursor, and up to which length.
QUERY_CACHE_SIZE, MAX_CACHED_QUERY_BYTES = 1000, 500


@dataclass(frozen=True)
class Page:
    """One page of a list. `next` is the cursor of the next page, None on the last."""

    rows: list[Any]
    limit: int
    next: str | None

    @property
    def next_url(self) -> str:
        """The absolute URL of the next page."""
        request = current_request()
        is_short = len(request.query_string) <= MAX_CACHED_QUERY_BYTES
        query = (without_cursor_cached if is_short else without_cursor)(request.query_string)
        return f"{current_app.config['PUBLIC_URL']}{request.path}?{query}{urlencode({'cursor': self.next})}"


def without_cursor(query_string: bytes) -> str:
    """Return the parameters of a query string except `cursor`, ready to append one."""
    query = parse_qsl(query_string.decode(), keep_blank_values=True)
    return "".join(f"{urlencode({name: value})}&" for name, value in query if name != "cursor")


without_cursor_cached = lru_cache(QUERY_CACHE_SIZE)(without_cursor)


def paginate(
    model: type[peewee.Model],
    columns: dict[str, Any],
    query: dict[str, Any],
    search: Callable[..., list[Any]] | None = None,
) -> Page:
    """Return one page of the model's rows, by keyset pagination.

    `query` has `limit`, `sort`, and optionally `cursor` and filters. `columns` maps the names of sorts and filters to
    columns, and must include `id`. `search` finds the rows that contain `q` (see `models.search.search`).
    Raises `ValidationError` for a cursor that is invalid or belongs to another sort or filter.
    """
    limit, sort = query["limit"], query["sort"]
    values = {name: query[name] for name in columns if query.get(name, False) is not False}
    equal = tuple((name, columns[name]) for name in values)
    column = columns[sort.lstrip("-")]
    is_by_id = column is columns["id"]
    if is_by_id and equal:
        # All rows have the same value in the filtered column, and its index has them in the order of their ids.
        column = equal[0][1]
    signer = cursor_signer(query, column)
    position = read_cursor(signer, query["cursor"], column) if "cursor" in query else None

    def fetch(strategy: QueryStrategy | None = None, row_values: bool = False, by_id: bool = False) -> list[Any]:
        sort_column = columns["id"] if by_id else column
        shape = ListQuery(model, strategy, row_values, equal, sort_column, columns["id"], sort.startswith("-"))
        return fetch_after(shape, values, position, limit + 1)

    if search and query.get("q"):
        values["part"] = query["q"]
        rows = search(query["q"], not equal, is_by_id, fetch, limit + 1)
    else:
        rows = fetch()
    cursor = write_cursor(signer, rows[limit - 1], column) if len(rows) > limit else None
    return Page(rows[:limit], limit, cursor)


def cursor_signer(query: dict[str, Any], column: Any) -> Signer:
    """Return the signer of this list's cursors. Another path, sort or filter gives another signature."""
    shape = {name: value for name, value in query.items() if name not in ("limit", "cursor")}
    salt = orjson.dumps([current_request().path.rstrip("/"), column.name, shape], option=orjson.OPT_SORT_KEYS)
    return Signer(current_app.config["SECRET_KEY"], salt=salt)


def write_cursor(signer: Signer, row: Any, column: Any) -> str:
    """Return the cursor of the position of this row."""
    value = column.db_value(getattr(row, column.column_name))
    return signer.sign(base64_encode(orjson.dumps([value, row.id]))).decode()


def read_cursor(signer: Signer, cursor: str, column: Any) -> CursorPosition:
    """Return the position that a cursor holds. Raises `ValidationError`."""
    try:
        value, row_id = orjson.loads(base64_decode(signer.unsign(cursor.encode("ascii", "replace"))))
    except BadData:
        raise ValidationError({"cursor": ["Invalid cursor. Restart without one."]}) from None
    return column.python_value(value), row_id
