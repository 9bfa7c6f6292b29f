"""All rows of ours, from one database to another of either engine.

Both engines are read as the same plain values: whole numbers, texts, bytes; moments as texts of fixed length and
booleans as 0 and 1, as SQLite keeps them. PostgreSQL gives moments and booleans in that form and takes them in it, so
no value is converted here. The checksum of a table is over these values, so it is the same on both engines.
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
from .db.connection import make_database
from .db.postgres import PooledPostgresqlDatabase

# How many rows are in memory at a time.
BATCH_SIZE = 2000

Rows = Iterable[list[tuple[Any, ...]]]


class CopyError(Exception):
    """The rows can't be moved like this. The text says why, in one line."""


@dataclass(frozen=True)
class TableCopy:
    """What was moved of a table. `checksum` is the SHA-256 of its rows in the order of the primary key."""

    table: str
    rows: int
    checksum: str


@contextmanager
def open_database(url: str) -> Iterator[peewee.Database]:
    """Another database than that of the models, closed in the end. Raises `ValueError` where the URL names none."""
    other = make_database(url)
    try:
        yield other
    finally:
        other.close()
        if isinstance(other, PooledPostgresqlDatabase):
            other.close_idle()


@contextmanager
def snapshot(database: peewee.Database) -> Iterator[None]:
    """Within the block, this thread sees the database as it was at the block's start. Others read and write on.

    Raises `CopyError` where its schema is not that of this code.
    """
    is_sqlite = isinstance(database, peewee.SqliteDatabase)
    if is_sqlite and not Path(database.database).exists():  # a connection would make an empty one
        raise CopyError("There is no such database. First run: flask --app run db upgrade")
    with database.atomic("DEFERRED") if is_sqlite else database.atomic():
        if not is_sqlite:
            database.execute_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            disable_timeouts(database)
        require_known_migrations(database)
        if any(not migration.applied for migration in migrations.status(database)):
            raise CopyError("The schema is not up to date. First run: flask --app run db upgrade")
        yield


def require_known_migrations(database: peewee.Database) -> None:
    """Raise `CopyError` where a newer version of the code has made the schema."""
    unknown = unknown_migrations(database)
    if unknown:
        raise CopyError(f"A newer version of Kennel has made this schema ({', '.join(unknown)}). Use that version")


def unknown_migrations(database: peewee.Database) -> list[str]:
    """Return the names of the migrations that this code does not have: a newer version applied them."""
    return [migration.name for migration in migrations.status(database) if migration.path is None]


def disable_timeouts(database: peewee.Database) -> None:
    """For this transaction, statements and pauses may take as long as all rows need."""
    database.execute_sql("SET LOCAL statement_timeout = 0")
    database.execute_sql("SET LOCAL idle_in_transaction_session_timeout = 0")


def count_rows(database: peewee.Database) -> int:
    """How many rows all our tables have."""
    return sum(model.select().bind(database).count() for model in MODELS)


def migrate_target(target: peewee.Database, source: peewee.Database) -> None:
    """Bring the target's schema up to date. To be called within `snapshot(source)`.

    Raises `CopyError`, and then has changed nothing, where the target is the source, or holds rows.
    """
    if is_same(source, target):
        raise CopyError("Both are the same database")
    exists = not isinstance(target, peewee.SqliteDatabase) or Path(target.database).exists()
    if exists:  # a connection would make an empty file
        require_known_migrations(target)
        require_empty(target)
    migrations.upgrade(target)


def is_same(source: peewee.Database, target: peewee.Database) -> bool:
    """Whether both are one database, by whatever name."""
    if isinstance(source, peewee.SqliteDatabase) != isinstance(target, peewee.SqliteDatabase):
        return False
    if isinstance(source, peewee.SqliteDatabase):
        path = Path(target.database)
        return path.exists() and path.samefile(source.database)
    # Who takes a lock in one finds it taken in the other only if they are the same.
    number = secrets.randbits(63)
    source.execute_sql("SELECT pg_advisory_xact_lock(%s)", (number,))
    with target.atomic():
        return not target.execute_sql("SELECT pg_try_advisory_xact_lock(%s)", (number,)).fetchone()[0]


def require_empty(target: peewee.Database) -> None:
    """Raise `CopyError` where a table of ours holds a row."""
    there = target.get_tables()
    for model in MODELS:
        if table_name(model) in there and model.select().bind(target).exists():
            raise CopyError(f"The new database is not empty: {table_name(model)} has rows")


def copy_rows(source: peewee.Database, target: peewee.Database, passed: Callable[[int], Any]) -> list[TableCopy]:
    """Copy all rows in one transaction, read them back, and return what was moved, by table.

    To be called within `snapshot(source)`, after `prepare`. `passed` is told how many rows were passed by, each of them
    twice: when it is copied, and when it is read back. Raises `CopyError` where the target got rows meanwhile, or reads
    back others than it was given; whatever is raised, the target then has none.
    """
    with wrap_driver_errors(), target.atomic():
        lock_tables(target)
        indexes = drop_indexes(target)
        moved = []
        for model in MODELS:
            reading = TableReader(source, model, passed)
            insert_rows(target, model, reading)
            moved.append(reading.moved())
        for statement in indexes:  # faster than to keep them up to date with each row
            target.execute_sql(statement)
        for kind, given in zip(MODELS, moved, strict=True):
            reading = TableReader(target, kind, passed)
            for _ in reading:
                pass
            if reading.moved() != given:
                raise CopyError(f"{given.table} reads back other rows than it was given")
            if issubclass(kind, Model):
                set_last_id(target, given.table, last_id(source, given.table))
    return moved


@contextmanager
def wrap_driver_errors() -> Iterator[None]:
    """Turn what the drivers raise where peewee does not stand between into peewee's `DatabaseError`."""
    try:
        yield
    except (sqlite3.Error, psycopg.Error) as error:
        raise peewee.DatabaseError(*error.args) from error


class TableReader:
    """The rows of a table in the order of the primary key, in chunks. They are counted and summed up as they pass."""

    def __init__(self, database: peewee.Database, model: type[peewee.Model], passed: Callable[[int], Any]) -> None:
        self.database = database
        self.model = model
        self.passed = passed
        self.rows = 0
        self.sum = hashlib.sha256()

    def __iter__(self) -> Iterator[list[tuple[Any, ...]]]:
        with closing(server_side_cursor(self.database)) as cursor:
            cursor.execute(query(self.database, self.model))
            while rows := cursor.fetchmany(BATCH_SIZE):
                self.rows += len(rows)
                self.sum.update(orjson.dumps(rows, default=bytes.hex)[1:-1] + b",")
                yield rows
                self.passed(len(rows))

    def moved(self) -> TableCopy:
        """What has passed."""
        return TableCopy(table_name(self.model), self.rows, self.sum.hexdigest())


def query(database: peewee.Database, model: type[peewee.Model]) -> str:
    """Reads all rows of a table as plain values. Texts are in the order of their bytes, whatever the locale."""
    key: Any = model._meta.primary_key
    if isinstance(database, peewee.SqliteDatabase):
        columns, order = (f'"{field.column_name}"' for field in model._meta.sorted_fields), ""
    else:
        columns = (select_as_sqlite(field) for field in model._meta.sorted_fields)
        order = ' COLLATE "C"' if isinstance(key, peewee.TextField) else ""
    return f'SELECT {", ".join(columns)} FROM "{table_name(model)}" ORDER BY "{key.column_name}"{order}'  # noqa: S608


def select_as_sqlite(field: peewee.Field) -> str:
    """Reads a column of PostgreSQL as SQLite keeps it."""
    match field:
        case UtcDateTimeField():
            return f"to_char(\"{field.column_name}\", 'YYYY-MM-DD HH24:MI:SS.US')"
        case peewee.BooleanField():
            return f'"{field.column_name}"::int'
        case _:
            return f'"{field.column_name}"'


def insert_rows(target: peewee.Database, model: type[peewee.Model], chunks: Rows) -> None:
    """Insert these rows of a table."""
    columns = [f'"{field.column_name}"' for field in model._meta.sorted_fields]
    into = f'"{table_name(model)}" ({", ".join(columns)})'
    if isinstance(target, peewee.SqliteDatabase):
        insert = f"INSERT INTO {into} VALUES ({', '.join('?' * len(columns))})"  # noqa: S608
        for rows in chunks:
            target.connection().executemany(insert, rows)
        return
    with target.connection().cursor() as cursor, cursor.copy(f"COPY {into} FROM STDIN") as copy:
        for rows in chunks:
            for row in rows:
                copy.write_row(row)


def table_name(model: type[peewee.Model]) -> str:
    """The name of its table."""
    return model._meta.table_name


def server_side_cursor(database: peewee.Database) -> Any:
    """A cursor that keeps few rows in memory, however many it reads."""
    if isinstance(database, peewee.SqliteDatabase):
        return database.connection().cursor()
    return database.connection().cursor(name=f"rows_{secrets.token_hex(4)}", binary=True)


def lock_tables(target: peewee.Database) -> None:
    """Keep others out of our tables until the end of the transaction. Raises `CopyError` where they hold rows."""
    if not isinstance(target, peewee.SqliteDatabase):  # there, the transaction has begun by this
        target.execute_sql(f"LOCK TABLE {', '.join(table_name(model) for model in MODELS)} IN ACCESS EXCLUSIVE MODE")
        disable_timeouts(target)
    require_empty(target)


def drop_indexes(target: peewee.Database) -> list[str]:
    """Drop all indexes but those of the primary keys, and return the statements that make them again.

    The index that SQLite searches by is a table, which triggers keep. They are dropped, and it is filled anew.
    """
    if isinstance(target, peewee.SqliteDatabase):
        found = (
            "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND tbl_name = ?"
            " AND (type = 'index' OR type = 'trigger' AND name GLOB 'dogs_search_*')"
        )
    else:
        found = (
            "SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema() AND tablename = %s"
            " AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = format('%%I', indexname)::regclass)"
        )
    indexes = [index for model in MODELS for index in target.execute_sql(found, (table_name(model),)).fetchall()]
    for kind, name, _ in indexes:
        target.execute_sql(f'DROP {kind} "{name}"')
    statements = [statement for _, _, statement in indexes]
    if isinstance(target, peewee.SqliteDatabase) and target.table_exists(search.INDEX):
        statements += [
            f"INSERT INTO {search.INDEX} ({search.INDEX}) VALUES ('{deed}')"  # noqa: S608 - a name of ours
            for deed in ("rebuild", "optimize")
        ]
    return statements


def last_id(database: peewee.Database, table: str) -> int:
    """The last id that the table has given, also to a row that is gone; 0 before the first."""
    if isinstance(database, peewee.SqliteDatabase):
        row = database.execute_sql("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
        return row[0] if row else 0
    query = f"SELECT last_value, is_called FROM {sequence_of(database, table)}"  # noqa: S608
    last, is_given = database.execute_sql(query).fetchone()
    return last if is_given else last - 1


def set_last_id(database: peewee.Database, table: str, last: int) -> None:
    """Let the table go on giving ids after this one. A part of the transaction, as `setval` would not be."""
    if isinstance(database, peewee.SqliteDatabase):
        database.execute_sql("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
        if last:
            database.execute_sql("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, last))
        return
    database.execute_sql(f"ALTER SEQUENCE {sequence_of(database, table)} RESTART WITH {last + 1}")


def sequence_of(database: peewee.Database, table: str) -> str:
    """The name of the sequence that PostgreSQL takes the table's ids from."""
    return database.execute_sql("SELECT pg_get_serial_sequence(%s, 'id')", (table,)).fetchone()[0]
