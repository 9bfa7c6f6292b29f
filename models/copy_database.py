"""Copy all rows from one database to another, of the same engine or the other.

The checksum of a table is over values that are the same on both engines (see `models.table_rows`).
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import peewee
import psycopg

from . import MODELS, migrations
from .base import Model
from .db.connection import close_connections, make_database
from .search_queries import INDEX
from .table_rows import TableCopy, TableReader, insert_rows, table_name


class CopyError(Exception):
    """The rows cannot be copied. The message is one line that says why."""


@contextmanager
def open_database(url: str) -> Iterator[peewee.Database]:
    """Give the database of a URL without touching that of the models, and close it. Raises `ValueError`."""
    database = make_database(url)
    try:
        yield database
    finally:
        close_connections(database)


@contextmanager
def snapshot(database: peewee.Database) -> Iterator[None]:
    """Run the block in a read-only snapshot of the database. Others can read and write meanwhile.

    Raises `CopyError` if its schema is not up to date, or is newer than this version.
    """
    is_sqlite = isinstance(database, peewee.SqliteDatabase)
    if is_sqlite and not Path(database.database).exists():  # connecting would create an empty one
        raise CopyError("The database does not exist. First run: flask --app run db upgrade")
    with database.atomic("DEFERRED") if is_sqlite else database.atomic():
        if not is_sqlite:
            database.execute_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            disable_timeouts(database)
        require_known_migrations(database)
        if any(not migration.applied for migration in migrations.status(database)):
            raise CopyError("The schema is not up to date. First run: flask --app run db upgrade")
        yield


def require_known_migrations(database: peewee.Database) -> None:
    """Raise `CopyError` if a newer version of Kennel migrated the database."""
    unknown = unknown_migrations(database)
    if unknown:
        raise CopyError(
            f"The database was migrated by a newer version of Kennel ({', '.join(unknown)}). Use that version"
        )


def unknown_migrations(database: peewee.Database) -> list[str]:
    """Return the names of the migrations that this code does not have: a newer version applied them."""
    return [migration.name for migration in migrations.status(database) if migration.path is None]


def disable_timeouts(database: peewee.Database) -> None:
    """Let the statements and pauses of this transaction take any time."""
    database.execute_sql("SET LOCAL statement_timeout = 0")
    database.execute_sql("SET LOCAL idle_in_transaction_session_timeout = 0")


def count_rows(database: peewee.Database) -> int:
    """Return the number of rows of all tables."""
    return sum(model.select().bind(database).count() for model in MODELS)


def migrate_target(target: peewee.Database, source: peewee.Database) -> None:
    """Migrate the target. Call it within `snapshot(source)`.

    Raises `CopyError`, without having changed anything, if the target is the source or has rows.
    """
    if is_same(source, target):
        raise CopyError("Source and target are the same database")
    exists = not isinstance(target, peewee.SqliteDatabase) or Path(target.database).exists()
    if exists:  # connecting would create an empty file
        require_known_migrations(target)
        require_empty(target)
    migrations.upgrade(target)


def is_same(source: peewee.Database, target: peewee.Database) -> bool:
    """Return whether both are the same database, even under different names."""
    if isinstance(source, peewee.SqliteDatabase) != isinstance(target, peewee.SqliteDatabase):
        return False
    if isinstance(source, peewee.SqliteDatabase):
        path = Path(target.database)
        return path.exists() and path.samefile(source.database)
    # A lock taken in one is taken in the other only if they are the same.
    key = secrets.randbits(63)
    source.execute_sql("SELECT pg_advisory_xact_lock(%s)", (key,))
    with target.atomic():
        return not target.execute_sql("SELECT pg_try_advisory_xact_lock(%s)", (key,)).fetchone()[0]


def require_empty(target: peewee.Database) -> None:
    """Raise `CopyError` if a table has rows."""
    tables = target.get_tables()
    for model in MODELS:
        if table_name(model) in tables and model.select().bind(target).exists():
            raise CopyError(f"The target is not empty: {table_name(model)} has rows")


def copy_rows(source: peewee.Database, target: peewee.Database, progress: Callable[[int], Any]) -> list[TableCopy]:
    """Copy all rows in one transaction, read them back to verify them, and return the copies by table.

    Call it within `snapshot(source)`, after `migrate_target`. `progress` is called with the number of rows of each
    batch, once when it is copied and once when it is read back. Raises `CopyError` if the target has rows, or reads
    back other rows. After any error the target is empty.
    """
    with wrap_driver_errors(), target.atomic():
        lock_tables(target)
        indexes = drop_indexes(target)
        copies = []
        for model in MODELS:
            reader = TableReader(source, model, progress)
            insert_rows(target, model, reader)
            copies.append(reader.result())
        for statement in indexes:  # faster than updating them with each row
            target.execute_sql(statement)
        for kind, copy in zip(MODELS, copies, strict=True):
            reader = TableReader(target, kind, progress)
            for _ in reader:
                pass
            if reader.result() != copy:
                raise CopyError(f"{copy.table} reads back other rows than it was given")
            if issubclass(kind, Model):
                set_last_id(target, copy.table, last_id(source, copy.table))
    return copies


@contextmanager
def wrap_driver_errors() -> Iterator[None]:
    """Raise peewee's `DatabaseError` for the exceptions of a driver that is called without peewee."""
    try:
        yield
    except (sqlite3.Error, psycopg.Error) as error:
        raise peewee.DatabaseError(*error.args) from error


def lock_tables(target: peewee.Database) -> None:
    """Lock the tables until the end of the transaction. Raises `CopyError` if they have rows."""
    if not isinstance(target, peewee.SqliteDatabase):  # its transaction began with the lock
        target.execute_sql(f"LOCK TABLE {', '.join(table_name(model) for model in MODELS)} IN ACCESS EXCLUSIVE MODE")
        disable_timeouts(target)
    require_empty(target)


def drop_indexes(target: peewee.Database) -> list[str]:
    """Drop all indexes except of constraints, and return the statements that create them again.

    SQLite's search index is a table that triggers maintain: drop the triggers and rebuild it.
    """
    if isinstance(target, peewee.SqliteDatabase):
        find_indexes = (
            "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND tbl_name = ?"
            " AND (type = 'index' OR type = 'trigger' AND name GLOB 'dogs_search_*')"
        )
    else:
        find_indexes = (
            "SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema() AND tablename = %s"
            " AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = format('%%I', indexname)::regclass)"
        )
    indexes = [index for model in MODELS for index in target.execute_sql(find_indexes, (table_name(model),)).fetchall()]
    for kind, name, _ in indexes:
        target.execute_sql(f'DROP {kind} "{name}"')
    statements = [statement for _, _, statement in indexes]
    if isinstance(target, peewee.SqliteDatabase) and target.table_exists(INDEX):
        statements += [
            f"INSERT INTO {INDEX} ({INDEX}) VALUES ('{command}')"  # noqa: S608 - a constant
            for command in ("rebuild", "optimize")
        ]
    return statements


def last_id(database: peewee.Database, table: str) -> int:
    """Return the last id that the table assigned, also to a deleted row; 0 if none."""
    if isinstance(database, peewee.SqliteDatabase):
        row = database.execute_sql("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
        return row[0] if row else 0
    query = f"SELECT last_value, is_called FROM {sequence_of(database, table)}"  # noqa: S608
    last, is_called = database.execute_sql(query).fetchone()
    return last if is_called else last - 1


def set_last_id(database: peewee.Database, table: str, last: int) -> None:
    """Let the table continue after this id. Unlike `setval` this is rolled back with the transaction."""
    if isinstance(database, peewee.SqliteDatabase):
        database.execute_sql("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
        if last:
            database.execute_sql("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, last))
        return
    database.execute_sql(f"ALTER SEQUENCE {sequence_of(database, table)} RESTART WITH {last + 1}")


def sequence_of(database: peewee.Database, table: str) -> str:
    """Return the name of PostgreSQL's sequence for the ids of a table."""
    return database.execute_sql("SELECT pg_get_serial_sequence(%s, 'id')", (table,)).fetchone()[0]
