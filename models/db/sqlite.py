"""SQLite: one writer at a time, and errors where peewee expects them."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import peewee

WRITE_STATEMENTS = ("INSERT", "UPDATE", "DELETE", "REPLACE")


def to_peewee_error(error: sqlite3.DatabaseError) -> peewee.DatabaseError:
    """Return peewee's exception for one of the driver."""
    return getattr(peewee, type(error).__name__)(error, *error.args)


class Cursor(sqlite3.Cursor):
    """A cursor that can buffer the rows of a statement with RETURNING, and raises peewee's exceptions.

    SQLite commits such a statement when its last row is fetched, so errors of the commit (e.g. disk full) would surface
    outside of `execute_sql`.
    """

    buffered_rows: Iterator[Any] | None = None

    def buffer_rows(self) -> None:
        """Fetch all rows, which ends the statement."""
        self.buffered_rows = iter(self.fetchall())

    def __iter__(self) -> Any:
        return super().__iter__() if self.buffered_rows is None else self.buffered_rows

    def fetchone(self) -> Any:
        """Return the next row, or None."""
        if self.buffered_rows is not None:
            return next(self.buffered_rows, None)
        try:
            return super().fetchone()
        except sqlite3.DatabaseError as error:
            raise to_peewee_error(error) from error

    def fetchall(self) -> list[Any]:
        """Return the remaining rows."""
        if self.buffered_rows is not None:
            return list(self.buffered_rows)
        try:
            return super().fetchall()
        except sqlite3.DatabaseError as error:
            raise to_peewee_error(error) from error


class SingleWriterSqliteDatabase(peewee.SqliteDatabase):
    """A database in a file, with a connection per thread and a lock for its writers.

    SQLite allows one writer at a time, but its busy handler polls with back-off, which starves threads under
    contention. A lock of the process wakes the next writer at once.

    SQLite rolls back by itself after some errors, such as a full disk. Rolling back again would fail and hide the
    cause, so it is skipped.
    """

    _timeout: float

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.writer_lock = threading.Lock()
        self.thread = threading.local()  # `is_writer`: whether this thread holds the lock

    def _connect(self) -> sqlite3.Connection:
        # A new file would be readable for everyone, but it holds email addresses and password hashes.
        with suppress(OSError):  # which SQLite reports too
            Path(self.database).touch(mode=0o600)
        return super()._connect()  # type: ignore[misc]

    def acquire_write_lock(self) -> None:
        """Wait until no other thread of this process writes. Raises `peewee.OperationalError` after the timeout."""
        if not self.writer_lock.acquire(timeout=self._timeout):
            raise peewee.OperationalError("database is locked")
        self.thread.is_writer = True

    def release_write_lock(self) -> None:
        """Release the lock if this thread holds it."""
        if getattr(self.thread, "is_writer", False):
            self.thread.is_writer = False
            self.writer_lock.release()

    @contextmanager
    def write_lock(self) -> Iterator[None]:
        """Hold the lock for the block."""
        self.acquire_write_lock()
        try:
            yield
        finally:
            self.release_write_lock()

    def cursor(self, named_cursor: Any = None) -> Cursor:
        """Return a cursor on this thread's connection."""
        return self.connection().cursor(Cursor)

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        """Execute a statement. Outside a transaction, a write is committed when this returns."""
        if sql.startswith("ROLLBACK TO ") and not self.connection().in_transaction:
            return None
        if self.in_transaction() or not sql.startswith(WRITE_STATEMENTS):
            return super().execute_sql(sql, params)
        with self.write_lock():
            cursor = super().execute_sql(sql, params)
            cursor.buffer_rows()
        return cursor

    def rows(self, sql: str, params: Any = None) -> list[Any]:
        """Execute a statement and return all its rows."""
        return self.execute_sql(sql, params).fetchall()

    def begin(self, lock_type: str | None = None) -> None:
        """Begin a transaction. It holds the lock until it ends, unless it is `DEFERRED` and so only reads."""
        if lock_type != "DEFERRED":
            self.acquire_write_lock()
        try:
            super().begin(lock_type)
        except BaseException:
            self.release_write_lock()
            raise

    def commit(self) -> None:
        """Commit. If this fails, peewee calls `rollback` next."""
        super().commit()
        self.release_write_lock()

    def rollback(self) -> None:
        """Roll back, unless SQLite has done so itself."""
        try:
            if self.connection().in_transaction:
                super().rollback()
        finally:
            self.release_write_lock()
