"""A cache of SQL statements: peewee builds the SQL of each query once, and it is executed with other values.

For peewee to build a statement takes about ten times as long as for SQLite to execute it.
"""

from __future__ import annotations

from collections import defaultdict, namedtuple
from collections.abc import Callable
from functools import lru_cache, wraps
from types import FunctionType, MethodType
from typing import Any, NamedTuple

import peewee

from .connection import database

# Statements per function and engine. The least recently used are dropped.
STATEMENT_CACHE_SIZE = 1000


class BoundParam(NamedTuple):
    """Marker for a bind parameter whose value is supplied at execution; `convert` adapts it for the driver."""

    name: str
    convert: Callable[[Any], Any] | None


class BindParam(peewee.Value):
    """A named bind parameter inside a peewee query (like SQLAlchemy's `bindparam`).

    Its value is converted by the column that it is compared with.
    """

    def __init__(self, name: str, field: peewee.Field | None = None) -> None:
        super().__init__(name, field.db_value if field else None)

    def for_column(self, field: peewee.Field) -> BindParam:
        """Return the same parameter, converted for this column: for an INSERT or UPDATE."""
        return BindParam(self.value, field)

    def with_converter(self, convert: Callable[[Any], Any]) -> BindParam:
        """Return the same parameter, converted by this function."""
        param = BindParam(self.value)
        param.converter = convert
        return param

    def __sql__(self, ctx: peewee.Context) -> peewee.Context:
        return ctx.value(BoundParam(self.value, self.converter or ctx.state.converter), converter=False)


class Statement:
    """The SQL of a query, its bind parameters, and how its rows are converted."""

    def __init__(self, query: Any) -> None:
        self.sql, self.params = query.sql()
        columns = query._returning or ()
        self.converters = [
            (index, column.python_value) for index, column in enumerate(columns) if needs_conversion(column)
        ]
        # `rename`: a join has some names twice, and its rows are read by index.
        row_class: Any = namedtuple("Row", [column.column_name for column in columns], rename=True)  # type: ignore[misc]
        self.row_factory = row_class._make

    def rows(self, values: dict[str, Any]) -> list[Any]:
        """Execute it with these values and return all rows as named tuples."""
        params = [
            (param.convert(values[param.name]) if param.convert else values[param.name])
            if type(param) is BoundParam
            else param
            for param in self.params
        ]
        rows = database.rows(self.sql, params)
        row_factory = self.row_factory
        if not self.converters:
            return [row_factory(row) for row in rows]
        return [row_factory(self.convert_row(row)) for row in rows]

    def convert_row(self, row: tuple[Any, ...]) -> list[Any]:
        """Return the values of a row as Python values."""
        values = list(row)
        for index, convert in self.converters:
            values[index] = convert(values[index])
        return values


def needs_conversion(column: Any) -> bool:
    """Return whether a database may return other types for this column than its Python values."""
    converts = type(column).python_value is not peewee.Field.python_value
    return (converts and not isinstance(column, peewee.ForeignKeyField)) or isinstance(column, peewee.BooleanField)


def cached_statement(build: Callable[..., peewee.Query]) -> Callable[..., list[Any]]:
    """Decorate a function that builds a query, so that it executes the query and returns its rows.

    `build(*shape, **params)` is called once per combination of positional arguments and parameter names. `params` are
    `BindParam` objects; their values are supplied at each call. The SQL is cached per engine. The decorated function
    returns a list of named tuples, not a query.

    Positional arguments must be equal from call to call, else each call would build the SQL again: `TypeError` for a
    lambda, a function inside a function, a `functools.partial` and other objects that equal only themselves.
    """

    def build_statement(shape: tuple[Any, ...], names: tuple[str, ...]) -> Statement:
        require_reusable(shape, build.__qualname__)
        return Statement(build(*shape, **{name: BindParam(name) for name in names}))

    caches: dict[type, Any] = defaultdict(lambda: lru_cache(STATEMENT_CACHE_SIZE)(build_statement))

    @wraps(build)
    def rows(*shape: Any, **values: Any) -> list[Any]:
        return caches[type(database.obj)](shape, tuple(values)).rows(values)

    return rows


def require_reusable(value: Any, function_name: str) -> None:
    """Raise `TypeError` if this argument of a cached statement, or an item of it, may equal only itself."""
    match value:
        case tuple():
            for item in value:
                require_reusable(item, function_name)
            return
        case MethodType():
            require_reusable(value.__func__, function_name)
            return
        case FunctionType():
            reusable = "<lambda>" not in value.__qualname__ and "<locals>" not in value.__qualname__
        case _:
            hash_method: Any = type(value).__hash__
            reusable = value is None or isinstance(value, type) or hash_method is not object.__hash__
    if not reusable:
        raise TypeError(
            f"{function_name}() would build its SQL again at each call, because {value!r} equals no other object."
            " Pass a function defined at module level, and values as keyword arguments."
        )
