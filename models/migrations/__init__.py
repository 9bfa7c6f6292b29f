"""Migrations of the schema: the `NNNN_name.py` files in this folder, applied in order by peewee's runner."""

from __future__ import annotations

from pathlib import Path

import peewee
from playhouse.migrations import Migration, Runner

from ..db.file_lock import exclusive_lock

# The key of PostgreSQL's advisory lock for upgrades: "kennel" in ASCII.
LOCK = 0x6B656E6E656C


def runner(database: peewee.Database) -> Runner:
    """Return peewee's runner for these migrations."""
    return Runner(database, str(Path(__file__).parent))


def status(database: peewee.Database) -> list[Migration]:
    """Return all migrations in order. `applied` is the time at which one was applied, or None."""
    return runner(database).status()


def upgrade(database: peewee.Database) -> list[str]:
    """Apply all pending migrations in one transaction, and return their names.

    Concurrent upgrades are safe: the second waits for the first.
    """
    if isinstance(database, peewee.SqliteDatabase):
        return upgrade_sqlite(database)
    with database.atomic():
        database.execute_sql("SET LOCAL statement_timeout = 0")  # waiting and building an index may take long
        database.execute_sql("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        return runner(database).up()


def upgrade_sqlite(database: peewee.SqliteDatabase) -> list[str]:
    """Do the same as `upgrade`, on SQLite."""
    # Lock before connecting: two processes that switch a new file to write-ahead mode at once fail.
    path = Path(database.database)
    with exclusive_lock(path.parent):
        database.connect(reuse_if_open=True)
        # Rebuilding a table would cascade deletes. The setting cannot be changed within a transaction.
        database.foreign_keys = 0
        try:
            with database.atomic():
                applied = runner(database).up()
                if applied and database.execute_sql("PRAGMA foreign_key_check").fetchone():
                    raise peewee.IntegrityError(
                        "the migrations would violate foreign keys: rows would reference missing rows"
                    )
            return applied
        finally:
            database.foreign_keys = 1
