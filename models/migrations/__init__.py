"""The schema's history: `NNNN_name.py` files beside this one, run in order by peewee's own runner."""

from __future__ import annotations

from pathlib import Path

import peewee
from playhouse.migrations import Migration, Runner

# A second start waits this long for the first one's migrations.
PATIENCE_SECONDS = 600


def runner(database: peewee.Database) -> Runner:
    """Peewee's runner for our migrations."""
    return Runner(database, str(Path(__file__).parent))


def status(database: peewee.Database) -> list[Migration]:
    """All migrations in order; `applied` is the moment one was applied, or None."""
    return runner(database).status()


def upgrade(database: peewee.Database) -> list[str]:
    """Bring the schema up to date, and return the names of the migrations applied.

    Two upgrades at once are safe: the second waits for the first, then finds nothing left to do.
    """
    if not isinstance(database, peewee.SqliteDatabase):
        return runner(database).up()
    usual = database.timeout
    database.timeout = PATIENCE_SECONDS
    try:
        # One transaction around all of them is the lock. Foreign keys can't be switched inside a transaction,
        # and a migration that rebuilds a table would cascade with them on.
        database.connect(reuse_if_open=True)
        database.foreign_keys = 0
        with database.atomic():
            applied = runner(database).up()
            broken = database.execute_sql("PRAGMA foreign_key_check").fetchall()
            if broken:
                raise peewee.IntegrityError(f"the migrations would break {len(broken)} foreign keys")
        return applied
    finally:
        database.foreign_keys = 1
        database.timeout = usual
