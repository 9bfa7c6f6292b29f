"""Pages by cursor: each begins where the last one ended, whatever was added or deleted in between."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

import orjson
import peewee
from flask import current_app, request
from itsdangerous import BadData, Signer, base64_decode, base64_encode
from marshmallow import ValidationError

from models import cached_statement, database

from .body import QUERY_CACHE_SIZE, current_request

# Where a page ended: the value of the sort column, and the id.
CursorPosition = tuple[Any, int]


@dataclass(frozen=True)
class Page:
    """Some rows of a list, and the cursor of the page after them."""

    rows: list[Any]
    limit: int
    next: str | None

    @property
    def next_url(self) -> str:
        """The whole URL of the next page."""
        asked = current_request()
        begin = without_cursor(asked.query_string)
        return f"{current_app.config['PUBLIC_URL']}{asked.path}?{begin}{urlencode({'cursor': self.next})}"


@lru_cache(QUERY_CACHE_SIZE)
def without_cursor(query_string: bytes) -> str:
    """The parameters of a query but for its cursor, so that one can follow them."""
    query = parse_qsl(query_string.decode(), keep_blank_values=True)
    return "".join(f"{urlencode({name: value})}&" for name, value in query if name != "cursor")


class ListQuery(NamedTuple):
    """What a list is, but for the values that its rows are found by. Lists that are alike share the text of a query."""

    find: Callable[[], peewee.ModelSelect[Any]]
    way: Callable[..., peewee.ModelSelect[Any]] | None
    at_once: bool
    equal: tuple[tuple[str, Any], ...]
    column: Any
    identity: Any
    descending: bool


def paginate(
    find: Callable[[], peewee.ModelSelect[Any]],
    columns: dict[str, Any],
    query: dict[str, Any],
    search: Callable[..., list[Any]] | None = None,
) -> Page:
    """The page that the query asks for by `sort`, `limit` and `cursor`, of the rows that fit all else in it.

    `columns` maps the names that `sort` may have to columns, and those of the filters that rows are equal in. `find`
    selects rows, and `search` finds those with `q`. Rows with equal values follow by their id, which makes every order
    a total one. Raises `ValidationError` for a cursor that was not given out for this very list.
    """
    limit, sort = query["limit"], query["sort"]
    values = {name: query[name] for name in columns if query.get(name, False) is not False}
    pairs = tuple((name, columns[name]) for name in values)
    column = columns[sort.lstrip("-")]
    is_by_id = column is columns["id"]
    if is_by_id and pairs:
        # All rows are equal in what they are filtered by, and its index knows them in the order of their ids.
        column = pairs[0][1]
    signer = cursor_signer(query, column)
    place = read_cursor(signer, query["cursor"], column) if "cursor" in query else None

    def rows(way: Any = None, at_once: bool = False, by_ids: bool = False) -> list[Any]:
        goes_by = columns["id"] if by_ids else column
        this_list = ListQuery(find, way, at_once, pairs, goes_by, columns["id"], sort.startswith("-"))
        return fetch_after(this_list, values, place, limit + 1)

    if search and query.get("q"):
        values["part"] = query["q"]
        found = search(query["q"], not pairs, is_by_id, rows, limit + 1)
    else:
        found = rows()
    cursor = write_cursor(signer, found[limit - 1], column) if len(found) > limit else None
    return Page(found[:limit], limit, cursor)


def fetch_after(this_list: ListQuery, values: dict[str, Any], place: CursorPosition | None, count: int) -> list[Any]:
    """The next `count` rows behind a place, in the order of the column and then of the id.

    On SQLite first the rest of the rows that are equal in the column, then those beyond: at once, by a comparison of
    pairs, it would walk through all equal ones. PostgreSQL finds pairs at once, and would else go by the ids alone.
    """
    if place is None:
        return page_query(this_list, None, limit=count, **values)
    value, row_id = place
    if this_list.column is this_list.identity:
        return page_query(this_list, after_value, limit=count, cursor=row_id, **values)
    if this_list.at_once or not isinstance(database.obj, peewee.SqliteDatabase):
        return page_query(this_list, after_row, limit=count, cursor=value, id=row_id, **values)
    found = page_query(this_list, after_tie, limit=count, cursor=value, id=row_id, **values)
    if len(found) < count:
        found += page_query(this_list, after_value, limit=count - len(found), cursor=value, **values)
    return found


@cached_statement
def page_query(
    this_list: ListQuery,
    behind: Callable[..., Any] | None,
    limit: Any,
    cursor: Any = None,
    id: Any = None,
    part: Any = None,
    **equal: Any,
) -> peewee.Query:
    """The rows of this list `behind` a place, which is the value `cursor` of its column and an `id`."""

    def ordered(rows: peewee.ModelSelect[Any], identity: Any = this_list.identity) -> peewee.ModelSelect[Any]:
        column = identity if this_list.column is this_list.identity else this_list.column
        by = this_list._replace(column=column, identity=identity)
        for name, same in by.equal:
            rows = rows.where(equality_condition(same, equal[name]))
        if behind is not None:
            rows = rows.where(behind(by, cursor, id))
        order = (column,) if column is identity else (column, identity)
        return rows.order_by(*(part.desc() if by.descending else part for part in order))

    rows = this_list.way(ordered, part) if this_list.way else ordered(this_list.find())
    return rows.limit(limit)


def after_value(this_list: ListQuery, value: Any, _: Any) -> Any:
    """The condition that a row comes behind all those with this value."""
    return this_list.column < value if this_list.descending else this_list.column > value


def after_tie(this_list: ListQuery, value: Any, row_id: Any) -> Any:
    """The condition that a row has this value, and comes behind the one with this id."""
    later = this_list.identity < row_id if this_list.descending else this_list.identity > row_id
    return (this_list.column == value) & later


def after_row(this_list: ListQuery, value: Any, row_id: Any) -> Any:
    """The condition that a row comes behind the place of this value and id, as one comparison."""
    pair = peewee.Tuple(this_list.column, this_list.identity)
    place = peewee.Tuple(value.for_column(this_list.column), row_id.for_column(this_list.identity))
    return pair < place if this_list.descending else pair > place


def equality_condition(column: Any, value: Any) -> Any:
    """The condition that a column has this value, for a list that goes by the column and the id.

    PostgreSQL would take an equality for a reason to go by the ids alone, past all rows that do not fit.
    """
    return column == value if isinstance(database.obj, peewee.SqliteDatabase) else column.between(value, value)


def cursor_signer(query: dict[str, Any], column: Any) -> Signer:
    """What signs the cursors of this list: another sort or filter makes another signature."""
    this_list = {name: value for name, value in query.items() if name not in ("limit", "cursor")}
    salt = orjson.dumps([request.path.rstrip("/"), column.name, this_list], option=orjson.OPT_SORT_KEYS)
    return Signer(current_app.config["SECRET_KEY"], salt=salt)


def write_cursor(signer: Signer, row: Any, column: Any) -> str:
    """The place of this row in the list."""
    value = column.db_value(getattr(row, column.column_name))
    return signer.sign(base64_encode(orjson.dumps([value, row.id]))).decode()


def read_cursor(signer: Signer, cursor: str, column: Any) -> CursorPosition:
    """The place that this cursor names. Raises `ValidationError`."""
    try:
        value, row_id = orjson.loads(base64_decode(signer.unsign(cursor.encode("ascii", "replace"))))
    except BadData:
        raise ValidationError(
            {"cursor": ["This cursor is not one of this list. Begin again without a cursor."]}
        ) from None
    return column.python_value(value), row_id
