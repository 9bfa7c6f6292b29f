"""Keyset pagination: fetch the rows that follow a position in a sorted list, at a cost independent of the offset.

Rows with equal values are ordered by id, so every order is total. A position is the value of the sort column and the
id of a row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import peewee

from .connection import database
from .statements import cached_statement

CursorPosition = tuple[Any, int]
# Puts the conditions and the order of a list on a query. The second argument replaces the id column, as in a search by
# an index that is a table and has ids too.
ApplyOrder = Callable[..., Any]
# A query of the rows of a list that contain the `part` that is searched for.
QueryStrategy = Callable[[ApplyOrder, Any], Any]


class ListQuery(NamedTuple):
    """The shape of a keyset-paginated query, without its values. Hashable: it is the key of the statement cache.

    `equal` has the name and column of each equality filter. `uses_row_values` compares the position as one row value
    (SQL: `(column, id) > (?, ?)`) on SQLite too.
    """

    model: type[peewee.Model]
    strategy: QueryStrategy | None
    uses_row_values: bool
    equal: tuple[tuple[str, Any], ...]
    column: Any
    id_column: Any
    descending: bool


def fetch_after(query: ListQuery, values: dict[str, Any], position: CursorPosition | None, count: int) -> list[Any]:
    """Return the next `count` rows after a position (None: from the start), in the order of the column, then the id.

    SQLite runs two queries (ties first, then greater values), because comparing row values would scan all ties.
    PostgreSQL uses one comparison of row values; with two it would scan the index of the ids.
    """
    if position is None:
        return page_query(query, None, limit=count, **values)
    value, row_id = position
    if query.column is query.id_column:
        return page_query(query, after_value, limit=count, cursor=row_id, **values)
    if query.uses_row_values or not is_sqlite():
        return page_query(query, after_row, limit=count, cursor=value, id=row_id, **values)
    rows = page_query(query, after_tie, limit=count, cursor=value, id=row_id, **values)
    if len(rows) < count:
        rows += page_query(query, after_value, limit=count - len(rows), cursor=value, **values)
    return rows


@cached_statement
def page_query(
    query: ListQuery,
    after: Callable[..., Any] | None,
    limit: Any,
    cursor: Any = None,
    id: Any = None,
    part: Any = None,
    **equal: Any,
) -> peewee.Query:
    """Select the rows of this list `after` a position: the value `cursor` of its column, and an `id`."""

    def apply_order(rows: peewee.ModelSelect[Any], id_column: Any = query.id_column) -> peewee.ModelSelect[Any]:
        column = id_column if query.column is query.id_column else query.column
        ordered = query._replace(column=column, id_column=id_column)
        for name, filtered in ordered.equal:
            rows = rows.where(equality_condition(filtered, equal[name]))
        if after is not None:
            rows = rows.where(after(ordered, cursor, id))
        order = (column,) if column is id_column else (column, id_column)
        return rows.order_by(*(part.desc() if ordered.descending else part for part in order))

    rows = query.strategy(apply_order, part) if query.strategy else apply_order(query.model.select())
    return rows.limit(limit)


def after_value(query: ListQuery, value: Any, _: Any) -> Any:
    """Return the condition that a row follows all rows with this value."""
    return query.column < value if query.descending else query.column > value


def after_tie(query: ListQuery, value: Any, row_id: Any) -> Any:
    """Return the condition that a row has this value, and follows the one with this id."""
    later = query.id_column < row_id if query.descending else query.id_column > row_id
    return (query.column == value) & later


def after_row(query: ListQuery, value: Any, row_id: Any) -> Any:
    """Return the condition that a row follows this position, as one comparison of row values."""
    row = peewee.Tuple(query.column, query.id_column)
    position = peewee.Tuple(value.for_column(query.column), row_id.for_column(query.id_column))
    return row < position if query.descending else row > position


def equality_condition(column: Any, value: Any) -> Any:
    """Return the condition that a column has this value, in a list sorted by that column and the id.

    With `=`, PostgreSQL's planner may choose the index of the ids and filter out all rows that do not match.
    """
    return column == value if is_sqlite() else column.between(value, value)


def is_sqlite() -> bool:
    """Return whether the models use SQLite."""
    return isinstance(database.obj, peewee.SqliteDatabase)
