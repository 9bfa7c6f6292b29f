"""The schema's history: `NNNN_name.py` files beside this one, run in order by peewee's own runner."""

from __future__ import annotations

from pathlib import Path

import peewee
from playhouse.migrations import Migration, Runner

from ..db.file_lock import exclusive_lock

# The number of the lock that upgrades of a PostgreSQL database wait for: "kennel" in ASCII.
LOCK = 0x6B656E6E656C


def runner(database: peewee.Database) -> Runner:
    """Peewee's runner for our migrations."""
    return Runner(database, str(Path(__file__).parent))


def status(database: peewee.Database) -> list[Migration]:
    """All migrations in order; `applied` is the moment one was applied, or None."""
    return runner(database).status()


def upgrade(database: peewee.Database) -> list[str]:
    """Bring the schema up to date, and return the names of the migrations applied.

    It is all of them or none, and two upgrades at once are safe: the second waits for the first.
    """
    if isinstance(database, peewee.SqliteDatabase):
        return upgrade_sqlite(database)
    with database.atomic():
        database.execute_sql("SET LOCAL statement_timeout = 0")  # to wait, and to build an index, may take long
        database.execute_sql("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        return runner(database).up()


def upgrade_sqlite(database: peewee.SqliteDatabase) -> list[str]:
    """As `upgrade`."""
    # The lock comes before the connection: two that make a new file write-ahead at once get in each other's way.
    path = Path(database.database)
    with exclusive_lock(path.parent):
        path.touch(mode=0o600)  # it holds addresses and password hashes
        database.connect(reuse_if_open=True)
        # A migration that rebuilds a table would cascade with these on. Within a transaction they can't be switched.
        database.foreign_keys = 0
        try:
            with database.atomic():
                applied = runner(database).up()
                if applied and database.execute_sql("PRAGMA foreign_key_check").fetchone():
                    raise peewee.IntegrityError("the migrations would break foreign keys: rows would point to nothing")
            return applied
        finally:
            database.foreign_keys = 1
