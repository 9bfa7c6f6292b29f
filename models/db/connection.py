"""The database that the models speak to: a placeholder until `connect` gives it a real one.

So importing the models opens nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import peewee
from playhouse.db_url import parse

from .postgres import PooledPostgresqlDatabase, retry_transaction
from .sqlite import Sqlite

database = peewee.DatabaseProxy()

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
    database.initialize(make_database(url, pool_size))
    return database.obj


def make_database(url: str, pool_size: int = 20) -> peewee.Database:
    """The database of this URL, for who moves rows between two. Raises as `connect` does."""
    scheme = url.partition(":")[0]
    if scheme == "sqlite":
        return Sqlite(**{**parse(url), **SQLITE})
    if scheme not in ("postgresql", "postgres"):
        raise ValueError("there is no driver for it")
    parts = parse(url, unquote_user=True, unquote_password=True)
    if not parts["database"]:
        raise ValueError("it names no database")
    return PooledPostgresqlDatabase(size=pool_size, **parts)


def close_connections(opened: peewee.Database | None = None) -> None:
    """Close this thread's connection, and those that no thread holds, to the models' database or another one."""
    opened = opened or database.obj
    opened.close()
    if isinstance(opened, PooledPostgresqlDatabase):
        opened.close_idle()


def transactional(deed: Callable[..., Any]) -> Callable[..., Any]:
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

        return retry_transaction(once)

    return done
