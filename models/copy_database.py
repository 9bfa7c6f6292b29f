"""Copy all rows from one database to another, of the same engine or the other.

Both engines are read as the same values: integers, texts, bytes; times as texts of fixed length and booleans as 0 and
1, as SQLite stores them. PostgreSQL returns and accepts times and booleans in that form, so no value is converted here.
The checksum of a table is over these values, so it is the same on both engines.
"""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import peewee
import psycopg

from . import MODELS, migrations, search
from .base import Model, UtcDateTimeField
from .db.connection import close_connections, make_database

# Rows that are in memory at a time.
BATCH_SIZE = 2000

RowBatches = Iterable[list[tuple[Any, ...]]]


class CopyError(Exception):
    """The rows cannot be copied. The message is one line that says why."""


@dataclass(frozen=True)
class TableCopy:
    """The copy of a table. `checksum` is the SHA-256 of its rows in the order of the primary key."""

    table: str
    rows: int
    checksum: str


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


class TableReader:
    """Iterate over the rows of a table in batches, in the order of the primary key. Counts and hashes them."""

    def __init__(self, database: peewee.Database, model: type[peewee.Model], progress: Callable[[int], Any]) -> None:
        self.database = database
        self.model = model
        self.progress = progress
        self.rows = 0
        self.checksum = hashlib.sha256()

    def __iter__(self) -> Iterator[list[tuple[Any, ...]]]:
        with closing(server_side_cursor(self.database)) as cursor:
            cursor.execute(select_all(self.database, self.model))
            while rows := cursor.fetchmany(BATCH_SIZE):
                self.rows += len(rows)
                self.checksum.update(orjson.dumps(rows, default=bytes.hex)[1:-1] + b",")
                yield rows
                self.progress(len(rows))

    def result(self) -> TableCopy:
        """Return the number and the checksum of the rows read so far."""
        return TableCopy(table_name(self.model), self.rows, self.checksum.hexdigest())


def select_all(database: peewee.Database, model: type[peewee.Model]) -> str:
    """Return the SQL that reads all rows of a table, sorted by the primary key (texts byte by byte)."""
    key: Any = model._meta.primary_key
    if isinstance(database, peewee.SqliteDatabase):
        columns, order = (f'"{field.column_name}"' for field in model._meta.sorted_fields), ""
    else:
        columns = (select_as_sqlite(field) for field in model._meta.sorted_fields)
        order = ' COLLATE "C"' if isinstance(key, peewee.TextField) else ""
    return f'SELECT {", ".join(columns)} FROM "{table_name(model)}" ORDER BY "{key.column_name}"{order}'  # noqa: S608


def select_as_sqlite(field: peewee.Field) -> str:
    """Return the SQL that reads a column of PostgreSQL in the form that SQLite stores."""
    match field:
        case UtcDateTimeField():
            return f"to_char(\"{field.column_name}\", 'YYYY-MM-DD HH24:MI:SS.US')"
        case peewee.BooleanField():
            return f'"{field.column_name}"::int'
        case _:
            return f'"{field.column_name}"'


def insert_rows(target: peewee.Database, model: type[peewee.Model], batches: RowBatches) -> None:
    """Insert rows into a table."""
    columns = [f'"{field.column_name}"' for field in model._meta.sorted_fields]
    into = f'"{table_name(model)}" ({", ".join(columns)})'
    if isinstance(target, peewee.SqliteDatabase):
        insert = f"INSERT INTO {into} VALUES ({', '.join('?' * len(columns))})"  # noqa: S608
        for rows in batches:
            target.connection().executemany(insert, rows)
        return
    with target.connection().cursor() as cursor, cursor.copy(f"COPY {into} FROM STDIN") as copy:
        for rows in batches:
            for row in rows:
                copy.write_row(row)


def table_name(model: type[peewee.Model]) -> str:
    """Return the name of the table of a model."""
    return model._meta.table_name


def server_side_cursor(database: peewee.Database) -> Any:
    """Return a cursor that streams rows rather than loading all into memory."""
    if isinstance(database, peewee.SqliteDatabase):
        return database.connection().cursor()
    return database.connection().cursor(name=f"rows_{secrets.token_hex(4)}", binary=True)


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
    if isinstance(target, peewee.SqliteDatabase) and target.table_exists(search.INDEX):
        statements += [
            f"INSERT INTO {search.INDEX} ({search.INDEX}) VALUES ('{command}')"  # noqa: S608 - a constant
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
