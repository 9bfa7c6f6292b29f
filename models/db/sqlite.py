"""SQLite: what its driver raises late, what it undoes by itself, and who writes next."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import peewee

WRITES = ("INSERT", "UPDATE", "DELETE", "REPLACE")


def translated(error: sqlite3.DatabaseError) -> peewee.DatabaseError:
    """Peewee's error of the same name as one of the driver."""
    return getattr(peewee, type(error).__name__)(error, *error.args)


class Cursor(sqlite3.Cursor):
    """A cursor that raises peewee's errors also while rows are read.

    A write that returns rows is committed when the last one is read, and only then is there no room on the disk.
    """

    ahead: Iterator[Any] | None = None

    def read_ahead(self) -> None:
        """Read all rows, so that what gives them ends."""
        self.ahead = iter(self.fetchall())

    def __iter__(self) -> Any:
        return super().__iter__() if self.ahead is None else self.ahead

    def fetchone(self) -> Any:
        """The next row, or None."""
        if self.ahead is not None:
            return next(self.ahead, None)
        try:
            return super().fetchone()
        except sqlite3.DatabaseError as error:
            raise translated(error) from error

    def fetchall(self) -> list[Any]:
        """The rows that are left."""
        if self.ahead is not None:
            return list(self.ahead)
        try:
            return super().fetchall()
        except sqlite3.DatabaseError as error:
            raise translated(error) from error


class Sqlite(peewee.SqliteDatabase):
    """A database in a file. Each thread keeps a connection of its own.

    Threads write in turns. SQLite lets one write at a time too, but who waits for it sleeps, for longer and longer, and
    looks again: among sixteen threads some would wait for seconds, and between two of them nobody would write.

    SQLite may undo a transaction by itself, on a full disk for one. To undo it once more would fail, and hide why.
    """

    _timeout: float

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.turn = threading.Lock()
        self.thread = threading.local()  # `has_turn`: whether it is this thread's

    def take_turn(self) -> None:
        """Wait until no other thread of this process writes."""
        if not self.turn.acquire(timeout=self._timeout):
            raise peewee.OperationalError("database is locked")
        self.thread.has_turn = True

    def end_turn(self) -> None:
        """Let the next thread write, where it was the turn of this one."""
        if getattr(self.thread, "has_turn", False):
            self.thread.has_turn = False
            self.turn.release()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """The turn of this thread."""
        self.take_turn()
        try:
            yield
        finally:
            self.end_turn()

    def cursor(self, named_cursor: Any = None) -> Cursor:
        """A cursor on this thread's connection."""
        return self.connection().cursor(Cursor)

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        """Run a statement. One that writes on its own is over when this returns, with all rows that it gives."""
        if sql.startswith("ROLLBACK TO ") and not self.connection().in_transaction:
            return None
        if self.in_transaction() or not sql.startswith(WRITES):
            return super().execute_sql(sql, params)
        with self.writing():
            cursor = super().execute_sql(sql, params)
            cursor.read_ahead()
        return cursor

    def rows(self, sql: str, params: Any = None) -> list[Any]:
        """Run a statement, and read all its rows."""
        return self.execute_sql(sql, params).fetchall()

    def begin(self, lock_type: str | None = None) -> None:
        """Begin a transaction, which has the turn until it ends, unless it is one that only reads: `DEFERRED`."""
        if lock_type != "DEFERRED":
            self.take_turn()
        try:
            super().begin(lock_type)
        except BaseException:
            self.end_turn()
            raise

    def commit(self) -> None:
        """End a transaction. Where this fails, `rollback` follows."""
        super().commit()
        self.end_turn()

    def rollback(self) -> None:
        """Undo a transaction, where there still is one."""
        try:
            if self.connection().in_transaction:
                super().rollback()
        finally:
            self.end_turn()
