"""Pages by cursor: each begins where the last one ended, whatever was added or deleted in between."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import orjson
import peewee
from flask import current_app, request
from itsdangerous import BadSignature, URLSafeSerializer
from marshmallow import ValidationError


@dataclass(frozen=True)
class Page:
    """Some rows of a list, and the cursor of the page after them."""

    rows: list[Any]
    limit: int
    next: str | None

    @property
    def next_url(self) -> str:
        """The whole URL of the next page."""
        query = {**request.args, "cursor": self.next}
        return f"{current_app.config['PUBLIC_URL']}{request.path}?{urlencode(query)}"


def paginate(rows: peewee.ModelSelect[Any], sorts: dict[str, Any], query: dict[str, Any]) -> Page:
    """The page of `rows` that the query asks for by `sort`, `limit` and `cursor`.

    `sorts` maps the names that `sort` may have to columns; rows with equal values follow by their id, which makes
    every order a total one. Raises `ValidationError` for a cursor that was not given out for this very list.
    """
    limit = query["limit"]
    column, identity = sorts[query["sort"].lstrip("-")], sorts["id"]
    descending = query["sort"].startswith("-")
    signer = cursor_signer(query)
    if query["cursor"] is not None:
        value, row_id = read_cursor(signer, query["cursor"], column)
        place = peewee.Tuple(column, identity)
        after = peewee.Tuple(value, row_id)
        rows = rows.where(place < after if descending else place > after)
    order = (column, identity)
    rows = rows.order_by(*(part.desc() if descending else part for part in order))
    found = list(rows.limit(limit + 1))
    cursor = write_cursor(signer, found[limit - 1], column) if len(found) > limit else None
    return Page(found[:limit], limit, cursor)


def cursor_signer(query: dict[str, Any]) -> URLSafeSerializer:
    """What signs the cursors of this list: another sort or filter makes another signature."""
    this_list = {name: value for name, value in query.items() if name not in ("limit", "cursor")}
    salt = orjson.dumps([request.path.rstrip("/"), this_list], option=orjson.OPT_SORT_KEYS)
    return URLSafeSerializer(current_app.config["SECRET_KEY"], salt=salt, serializer=orjson)


def write_cursor(signer: URLSafeSerializer, row: Any, column: Any) -> str:
    """The place of this row in the list."""
    value = getattr(row, column.name)
    signed: Any = signer.dumps([value, row.id])
    return signed.decode()


def read_cursor(signer: URLSafeSerializer, cursor: str, column: Any) -> tuple[Any, int]:
    """The place that this cursor names: the value of the sort column, and the id."""
    try:
        value, row_id = signer.loads(cursor)
    except BadSignature:
        raise ValidationError(
            {"cursor": ["This cursor is not one of this list. Begin again without a cursor."]}
        ) from None
    return datetime.fromisoformat(value) if isinstance(column, peewee.DateTimeField) else value, row_id
