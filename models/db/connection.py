"""The database of the models: a proxy until `connect` initializes it, so importing the models opens nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import peewee
from playhouse.db_url import parse

from .postgres import PooledPostgresqlDatabase, retry_transaction
from .sqlite import SingleWriterSqliteDatabase

database = peewee.DatabaseProxy()

SQLITE_OPTIONS: dict[str, Any] = {
    # Write-ahead log: readers and the writer do not block each other. Full: a commit survives a power cut.
    "pragmas": {"journal_mode": "wal", "synchronous": "full", "foreign_keys": 1},
    # Take the write lock when a transaction begins; to upgrade a read lock later could fail without waiting.
    "lock_type": "IMMEDIATE",
    "timeout": 10,  # seconds
    "returning_clause": True,
}


def connect(url: str, pool_size: int = 20) -> peewee.Database:
    """Initialize the models' database from a URL. Connections open at first use.

    SQLite has a connection per thread; on PostgreSQL, the threads of a process share up to `pool_size`.
    Raises `ValueError` if the URL is invalid.
    """
    database.initialize(make_database(url, pool_size))
    return database.obj


def make_database(url: str, pool_size: int = 20) -> peewee.Database:
    """Return the database of a URL without touching that of the models. Raises `ValueError` as `connect` does."""
    scheme = url.partition(":")[0]
    if scheme == "sqlite":
        return SingleWriterSqliteDatabase(url.removeprefix("sqlite:///"), **SQLITE_OPTIONS)
    if scheme not in ("postgresql", "postgres"):
        raise ValueError("there is no driver for it")
    try:
        parts = parse(url, unquote_user=True, unquote_password=True)
    except ValueError:  # its message may quote the password
        raise ValueError("its host or port is invalid") from None
    if not parts["database"]:
        raise ValueError("it names no database")
    return PooledPostgresqlDatabase(size=pool_size, **parts)


def close_connections(opened: peewee.Database | None = None) -> None:
    """Close this thread's connection and all idle ones, of the models' database or of another."""
    opened = opened or database.obj
    opened.close()
    if isinstance(opened, PooledPostgresqlDatabase):
        opened.close_idle()


def transactional(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a function to run in a transaction, and retry it on serialization failures (40001, 40P01).

    The function must be idempotent: it may be called several times, so no cookies, files or network calls. Within a
    transaction it joins that one and is not retried by itself.
    """

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if database.in_transaction():
            return function(*args, **kwargs)

        def run_once() -> Any:
            with database.atomic():
                return function(*args, **kwargs)

        return retry_transaction(run_once)

    return wrapper
