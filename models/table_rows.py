"""Read and write all rows of a table, as values that are the same on both engines.

These are integers, texts and bytes; times as texts of fixed length and booleans as 0 and 1, as SQLite stores them.
PostgreSQL returns and accepts times and booleans in that form, so no value is converted here.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import orjson
import peewee

from .base import UtcDateTimeField

# Rows that are in memory at a time.
BATCH_SIZE = 2000

RowBatches = Iterable[list[tuple[Any, ...]]]


@dataclass(frozen=True)
class TableCopy:
    """The copy of a table. `checksum` is the SHA-256 of its rows in the order of the primary key."""

    table: str
    rows: int
    checksum: str


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
