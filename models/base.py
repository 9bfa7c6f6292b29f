"""The base model and the fields that models share."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Self

import peewee

from .casefold import casefold_nfc
from .db.connection import database
from .db.statements import BindParam, cached_statement
from .errors import NotFound

# The largest id of a BIGINT column.
MAX_ID = 2**63 - 1


def utc_now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


class UtcDateTimeField(peewee.DateTimeField):
    """A time in UTC. SQLite stores it as text of a fixed length, which sorts in the order of time."""

    def db_value(self, value: datetime | None) -> str | datetime | None:
        """Convert an aware datetime for the database."""
        if value is None:
            return None
        naive = value.astimezone(UTC).replace(tzinfo=None)
        is_sqlite = isinstance(self.model._meta.database.obj, peewee.SqliteDatabase)
        return naive.isoformat(" ", "microseconds") if is_sqlite else naive

    def python_value(self, value: str | datetime | None) -> datetime | None:
        """Convert a value of the database to a datetime in UTC."""
        if value is None:
            return None
        if isinstance(value, str):
            return datetime.fromisoformat(f"{value}+00:00")  # four times as fast as `replace(tzinfo=UTC)`
        return value.replace(tzinfo=UTC)


class CaseFoldedField(peewee.TextField):
    """A case-folded text, to filter and sort by. Values are folded when they are stored and when they are compared."""

    def db_value(self, value: str | None) -> str | None:
        """Fold a text for the database."""
        return None if value is None else casefold_nfc(value)


class Model(peewee.Model):
    """The base of models with an integer id."""

    id = peewee.BigAutoField()

    class Meta:
        database = database
        legacy_table_names = False

    @classmethod
    def from_row(cls, values: Iterable[Any]) -> Self:
        """Return an instance with these column values, in the order of the columns."""
        row = cls(__no_default__=True)
        row.__data__ = dict(zip(cls._meta.sorted_field_names, values, strict=True))
        return row

    @classmethod
    def find(cls, row_id: int) -> Self:
        """Return the row with this id. Raises `NotFound`."""
        for row in select_by_id(cls, id=row_id):
            return cls.from_row(row)
        raise NotFound(f"{cls.__name__} not found")

    @classmethod
    def create(cls, **fields: Any) -> Self:
        """Insert a row and return it as stored."""
        (row,) = insert_returning(cls, **{**cls._meta.get_default_dict(), **fields})
        return cls.from_row(row)


@cached_statement
def select_by_id(model: type[Model], id: Any) -> peewee.Query:
    """Select the row with an id."""
    return model.select().where(model.id == id)


@cached_statement
def insert_returning(model: type[Model], **fields: BindParam) -> peewee.Query:
    """Insert a row and return it."""
    return model.insert(column_values(model, fields)).returning(model)


def column_values(model: type[Model], fields: dict[str, BindParam]) -> dict[peewee.Field, BindParam]:
    """Map the columns with these names to bind parameters that convert for them."""
    columns = {name: model._meta.combined[name] for name in fields}
    return {column: fields[name].for_column(column) for name, column in columns.items()}
