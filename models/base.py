"""The database and what all rows share.

`database` is a placeholder until `connect` gives it a real one, so importing the models opens nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Self

import peewee
from playhouse.db_url import connect as database_from_url

from .errors import NotFound

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


def connect(url: str) -> peewee.Database:
    """Point the models at the database of this URL. Each thread opens its connection at first use and keeps it.

    Raises `ValueError`, `RuntimeError` or `peewee.ImproperlyConfigured` where no database can be made of the URL.
    """
    options = SQLITE if url.startswith("sqlite:") else {}
    database.initialize(database_from_url(url, unquote_user=True, unquote_password=True, **options))
    return database.obj


def now() -> datetime:
    """This moment, in UTC."""
    return datetime.now(UTC)


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
