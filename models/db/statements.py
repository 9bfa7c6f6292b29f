"""Statements whose text peewee builds once, and that are run again with other values.

To build a text takes peewee about ten times as long as SQLite takes to run it.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, NamedTuple

import peewee

from .connection import database

# How many texts each function keeps. Those that were not used for longest are forgotten.
STATEMENT_CACHE_SIZE = 1000


class BoundParam(NamedTuple):
    """What stands among a text's parameters for a value that is still to come."""

    name: str
    convert: Callable[[Any], Any] | None


class BindParam(peewee.Value):
    """A value that is still to come, in a query. What it is compared with says how the database keeps it."""

    def __init__(self, name: str, field: peewee.Field | None = None) -> None:
        super().__init__(name, field.db_value if field else None)

    def for_column(self, field: peewee.Field) -> BindParam:
        """The same, kept as this column keeps it: for a query that writes."""
        return BindParam(self.value, field)

    def with_converter(self, convert: Callable[[Any], Any]) -> BindParam:
        """What this makes of the value, in its place."""
        made = BindParam(self.value)
        made.converter = convert
        return made

    def __sql__(self, ctx: peewee.Context) -> peewee.Context:
        return ctx.value(BoundParam(self.value, self.converter or ctx.state.converter), converter=False)


class Statement:
    """A query as text."""

    def __init__(self, query: Any) -> None:
        self.text, self.parameters = query.sql()
        columns = query._returning or ()
        self.reads = [(place, column.python_value) for place, column in enumerate(columns) if needs_conversion(column)]
        # Rows of two tables have names twice; they are read by their order.
        names = [column.column_name for column in columns]
        row: Any = namedtuple("Row", names, rename=True)  # type: ignore[misc]
        self.make = row._make

    def rows(self, values: dict[str, Any]) -> list[Any]:
        """Run it with these values, and read all rows, as named tuples."""
        parameters = [
            (part.convert(values[part.name]) if part.convert else values[part.name])
            if type(part) is BoundParam
            else part
            for part in self.parameters
        ]
        rows = database.rows(self.text, parameters)
        make = self.make
        if not self.reads:
            return [make(row) for row in rows]
        return [make(self.read(row)) for row in rows]

    def read(self, row: tuple[Any, ...]) -> list[Any]:
        """The values that the database kept of a row."""
        values = list(row)
        for place, convert in self.reads:
            values[place] = convert(values[place])
        return values


def needs_conversion(column: Any) -> bool:
    """Whether the database may give this column's values in another form than we do."""
    own = type(column).python_value is not peewee.Field.python_value
    return (own and not isinstance(column, peewee.ForeignKeyField)) or isinstance(column, peewee.BooleanField)


def cached_statement(build: Callable[..., peewee.Query]) -> Callable[..., list[Any]]:
    """Run the query that this function builds, and return its rows, as named tuples.

    It is built once for each shape: its positional arguments, and the names of the others, whose values are still to
    come when it is built. They are a `BindParam` each.
    """

    @lru_cache(STATEMENT_CACHE_SIZE)
    def statement(_: type[peewee.Database], shape: tuple[Any, ...], names: tuple[str, ...]) -> Statement:
        return Statement(build(*shape, **{name: BindParam(name) for name in names}))

    @wraps(build)
    def rows(*shape: Any, **values: Any) -> list[Any]:
        engine: Any = type(database.obj)
        return statement(engine, shape, tuple(values)).rows(values)

    return rows
