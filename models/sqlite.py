"""SQLite: what its driver raises late, and what it undoes by itself."""

from __future__ import annotations

import sqlite3
from typing import Any

import peewee


def translated(error: sqlite3.DatabaseError) -> peewee.DatabaseError:
    """Peewee's error of the same name as one of the driver."""
    return getattr(peewee, type(error).__name__)(error, *error.args)


class Cursor(sqlite3.Cursor):
    """A cursor that raises peewee's errors also while rows are read.

    A write that returns rows is committed when the last one is read, and only then is there no room on the disk.
    """

    def fetchone(self) -> Any:
        """The next row, or None."""
        try:
            return super().fetchone()
        except sqlite3.DatabaseError as error:
            raise translated(error) from error

    def fetchall(self) -> list[Any]:
        """The rows that are left."""
        try:
            return super().fetchall()
        except sqlite3.DatabaseError as error:
            raise translated(error) from error


class Sqlite(peewee.SqliteDatabase):
    """A database in a file. Each thread keeps a connection of its own.

    SQLite may undo a transaction by itself, on a full disk for one. To undo it once more would fail, and hide why.
    """

    def cursor(self, named_cursor: Any = None) -> Cursor:
        """A cursor on this thread's connection."""
        return self.connection().cursor(Cursor)

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        """Run a statement."""
        if sql.startswith("ROLLBACK TO ") and not self.connection().in_transaction:
            return None
        return super().execute_sql(sql, params)

    def rollback(self) -> None:
        """Undo a transaction, where there still is one."""
        if self.connection().in_transaction:
            super().rollback()
