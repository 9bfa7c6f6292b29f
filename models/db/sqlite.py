"""SQLite: what its driver raises late, what it undoes by itself, and who writes next."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import peewee

WRITES = ("INSERT", "UPDATE", "DELETE", "REPLACE")


def to_peewee_error(error: sqlite3.DatabaseError) -> peewee.DatabaseError:
    """Peewee's error of the same name as one of the driver."""
    return getattr(peewee, type(error).__name__)(error, *error.args)


class Cursor(sqlite3.Cursor):
    """A cursor that raises peewee's errors also while rows are read.

    A write that returns rows is committed when the last one is read, and only then is there no room on the disk.
    """

    buffered_rows: Iterator[Any] | None = None

    def buffer_rows(self) -> None:
        """Read all rows, so that what gives them ends."""
        self.buffered_rows = iter(self.fetchall())

    def __iter__(self) -> Any:
        return super().__iter__() if self.buffered_rows is None else self.buffered_rows

    def fetchone(self) -> Any:
        """The next row, or None."""
        if self.buffered_rows is not None:
            return next(self.buffered_rows, None)
        try:
            return super().fetchone()
        except sqlite3.DatabaseError as error:
            raise to_peewee_error(error) from error

    def fetchall(self) -> list[Any]:
        """The rows that are left."""
        if self.buffered_rows is not None:
            return list(self.buffered_rows)
        try:
            return super().fetchall()
        except sqlite3.DatabaseError as error:
            raise to_peewee_error(error) from error


class Sqlite(peewee.SqliteDatabase):
    """A database in a file. Each thread keeps a connection of its own.

    Threads write in turns. SQLite lets one write at a time too, but who waits for it sleeps, for longer and longer, and
    looks again: among sixteen threads some would wait for seconds, and between two of them nobody would write.

    SQLite may undo a transaction by itself, on a full disk for one. To undo it once more would fail, and hide why.
    """

    _timeout: float

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.write_lock = threading.Lock()
        self.thread = threading.local()  # `has_turn`: whether it is this thread's

    def acquire_write_lock(self) -> None:
        """Wait until no other thread of this process writes."""
        if not self.write_lock.acquire(timeout=self._timeout):
            raise peewee.OperationalError("database is locked")
        self.thread.has_turn = True

    def release_write_lock(self) -> None:
        """Let the next thread write, where it was the turn of this one."""
        if getattr(self.thread, "has_turn", False):
            self.thread.has_turn = False
            self.write_lock.release()

    @contextmanager
    def exclusive_write(self) -> Iterator[None]:
        """The turn of this thread."""
        self.acquire_write_lock()
        try:
            yield
        finally:
            self.release_write_lock()

    def cursor(self, named_cursor: Any = None) -> Cursor:
        """A cursor on this thread's connection."""
        return self.connection().cursor(Cursor)

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        """Run a statement. One that writes on its own is over when this returns, with all rows that it gives."""
        if sql.startswith("ROLLBACK TO ") and not self.connection().in_transaction:
            return None
        if self.in_transaction() or not sql.startswith(WRITES):
            return super().execute_sql(sql, params)
        with self.exclusive_write():
            cursor = super().execute_sql(sql, params)
            cursor.buffer_rows()
        return cursor

    def rows(self, sql: str, params: Any = None) -> list[Any]:
        """Run a statement, and read all its rows."""
        return self.execute_sql(sql, params).fetchall()

    def begin(self, lock_type: str | None = None) -> None:
        """Begin a transaction, which has the turn until it ends, unless it is one that only reads: `DEFERRED`."""
        if lock_type != "DEFERRED":
            self.acquire_write_lock()
        try:
            super().begin(lock_type)
        except BaseException:
            self.release_write_lock()
            raise

    def commit(self) -> None:
        """End a transaction. Where this fails, `rollback` follows."""
        super().commit()
        self.release_write_lock()

    def rollback(self) -> None:
        """Undo a transaction, where there still is one."""
        try:
            if self.connection().in_transaction:
                super().rollback()
        finally:
            self.release_write_lock()
