"""The database and what all rows share.

`database` is a placeholder until `connect` gives it a real one, so importing the models opens nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from typing import Any, Self

import peewee
from playhouse.db_url import parse

from .errors import NotFound
from .postgres import Postgres, again
from .sqlite import Sqlite

database = peewee.DatabaseProxy()

# The largest id that the database can hold.
MAX_ID = 2**63 - 1

SQLITE: dict[str, Any] = {
    # Write-ahead: readers never wait for the writer, nor it for them. Full: what was answered survives a power cut.
    "pragmas": {"journal_mode": "wal", "synchronous": "full", "foreign_keys": 1},
    # A transaction that will write takes the lock at its start; a later one could fail without waiting its turn.
    "lock_type": "IMMEDIATE",
    "timeout": 10,
    "returning_clause": True,
}


def connect(url: str, pool_size: int = 20) -> peewee.Database:
    """Point the models at the database of this URL. Nothing is opened before its first use.

    On SQLite each thread keeps a connection of its own, on PostgreSQL the threads share `pool_size`.
    Raises `ValueError` where no database can be made of the URL.
    """
    database.initialize(database_of(url, pool_size))
    return database.obj


def database_of(url: str, pool_size: int = 20) -> peewee.Database:
    """The database of this URL, for who moves rows between two. Raises as `connect` does."""
    scheme = url.partition(":")[0]
    if scheme == "sqlite":
        return Sqlite(**{**parse(url), **SQLITE})
    if scheme not in ("postgresql", "postgres"):
        raise ValueError("there is no driver for it")
    parts = parse(url, unquote_user=True, unquote_password=True)
    if not parts["database"]:
        raise ValueError("it names no database")
    return Postgres(size=pool_size, **parts)


def disconnect(opened: peewee.Database | None = None) -> None:
    """Close this thread's connection, and those that no thread holds, to the models' database or another one."""
    opened = opened or database.obj
    opened.close()
    if isinstance(opened, Postgres):
        opened.close_idle()


def atomic(deed: Callable[..., Any]) -> Callable[..., Any]:
    """Do this in one transaction, or not at all.

    Where the database has undone it to keep it in order with others, it is done again from its start; so it must do
    nothing that can't be done twice. Within another such deed, it is a part of that.
    """

    @wraps(deed)
    def done(*args: Any, **kwargs: Any) -> Any:
        if database.in_transaction():
            return deed(*args, **kwargs)

        def once() -> Any:
            with database.atomic():
                return deed(*args, **kwargs)

        return again(once)

    return done


def now() -> datetime:
    """This moment, in UTC."""
    return datetime.now(UTC)


def is_equal(column: Any, value: Any) -> Any:
    """The condition that a column has this value, for a list that goes by the column and the id.

    PostgreSQL would take an equality for a reason to go by the ids alone, past all rows that do not fit.
    """
    is_sqlite = isinstance(column.model._meta.database.obj, peewee.SqliteDatabase)
    return column == value if is_sqlite else column.between(value, value)


class MomentField(peewee.DateTimeField):
    """A moment in UTC. SQLite keeps it as a text of fixed length, so that the order of texts is the order of time."""

    def db_value(self, value: datetime | None) -> str | datetime | None:
        """What the database keeps of a moment in any zone."""
        if value is None:
            return None
        naive = value.astimezone(UTC).replace(tzinfo=None)
        is_sqlite = isinstance(self.model._meta.database.obj, peewee.SqliteDatabase)
        return naive.isoformat(" ", "microseconds") if is_sqlite else naive

    def python_value(self, value: str | datetime | None) -> datetime | None:
        """The moment, in UTC, of what the database kept."""
        if value is None:
            return None
        naive = datetime.fromisoformat(value) if isinstance(value, str) else value
        return naive.replace(tzinfo=UTC)


class Model(peewee.Model):
    """A row of ours."""

    id = peewee.BigAutoField()

    class Meta:
        database = database
        legacy_table_names = False

    @classmethod
    def find(cls, row_id: int) -> Self:
        """The row with this id. Raises `NotFound`."""
        row = cls.get_or_none(cls.id == row_id)
        if row is None:
            raise NotFound(f"There is no {cls.__name__.lower()} with this id")
        return row
