"""Pages by cursor: each begins where the last one ended, whatever was added or deleted in between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import orjson
import peewee
from flask import current_app, request
from itsdangerous import BadSignature, URLSafeSerializer
from marshmallow import ValidationError

from models import database

# Where a page ended: the value of the sort column, and the id.
Place = tuple[Any, int]


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


def paginate(rows: peewee.ModelSelect[Any], columns: dict[str, Any], query: dict[str, Any]) -> Page:
    """The page of `rows` that the query asks for by `sort`, `limit` and `cursor`.

    `columns` maps the names that `sort` may have to columns, and those of the filters; rows with equal values follow
    by their id, which makes every order a total one. Raises `ValidationError` for a cursor that was not given out for
    this very list.
    """
    limit = query["limit"]
    column = columns[query["sort"].lstrip("-")]
    if column is columns["id"]:
        # All rows are equal in what they are filtered by, and its index knows them in the order of their ids.
        column = next((columns[name] for name, value in query.items() if value and name in columns), column)
    signer = cursor_signer(query, column)
    place = read_cursor(signer, query["cursor"], column) if "cursor" in query else None
    found = rows_after(rows, column, columns["id"], place, query["sort"].startswith("-"), limit + 1)
    cursor = write_cursor(signer, found[limit - 1], column) if len(found) > limit else None
    return Page(found[:limit], limit, cursor)


def rows_after(
    rows: peewee.ModelSelect[Any], column: Any, identity: Any, place: Place | None, descending: bool, count: int
) -> list[Any]:
    """The next `count` rows behind a place, in the order of the column and then of the id.

    On SQLite first the rest of the rows that are equal in the column, then those beyond: at once, by a comparison of
    pairs, it would walk through all equal ones. PostgreSQL finds pairs at once, and would else go by the ids alone.
    """
    order = [part.desc() if descending else part for part in (column, identity)]
    if place is None:
        return list(rows.order_by(*order).limit(count))
    value, row_id = place
    if column is not identity and not isinstance(database.obj, peewee.SqliteDatabase):
        pair, last = peewee.Tuple(column, identity), peewee.Tuple(column.db_value(value), row_id)
        return list(rows.where(pair < last if descending else pair > last).order_by(*order).limit(count))
    equal, beyond = column == value, column < value if descending else column > value
    later = identity < row_id if descending else identity > row_id
    found = list(rows.where(equal, later).order_by(order[1]).limit(count)) if column is not identity else []
    if len(found) < count:
        found.extend(rows.where(beyond).order_by(*order).limit(count - len(found)))
    return found


def cursor_signer(query: dict[str, Any], column: Any) -> URLSafeSerializer:
    """What signs the cursors of this list: another sort or filter makes another signature."""
    this_list = {name: value for name, value in query.items() if name not in ("limit", "cursor")}
    salt = orjson.dumps([request.path.rstrip("/"), column.name, this_list], option=orjson.OPT_SORT_KEYS)
    return URLSafeSerializer(current_app.config["SECRET_KEY"], salt=salt, serializer=orjson)


def write_cursor(signer: URLSafeSerializer, row: Any, column: Any) -> str:
    """The place of this row in the list."""
    value = column.db_value(row.__data__[column.name])
    signed: Any = signer.dumps([value, row.id])
    return signed.decode()


def read_cursor(signer: URLSafeSerializer, cursor: str, column: Any) -> Place:
    """The place that this cursor names. Raises `ValidationError`."""
    try:
        value, row_id = signer.loads(cursor.encode("ascii", "replace"))
    except BadSignature:
        raise ValidationError(
            {"cursor": ["This cursor is not one of this list. Begin again without a cursor."]}
        ) from None
    return column.python_value(value), row_id
