"""Compare texts byte by byte on PostgreSQL, as SQLite does, whatever the locale of the database."""

from peewee import Database, PostgresqlDatabase
from playhouse.migrate import SchemaMigrator

COLUMNS = {"users": ("username_key", "email"), "dogs": ("name_key", "owner_key", "breed_key")}


def up(migrator: SchemaMigrator, db: Database) -> None:
    set_collation(db, "C")


def down(migrator: SchemaMigrator, db: Database) -> None:
    set_collation(db, "default")


def set_collation(db: Database, collation: str) -> None:
    if not isinstance(db, PostgresqlDatabase):
        return
    for table, columns in COLUMNS.items():
        types = {"email": "VARCHAR(254)"}
        changes = [f'ALTER COLUMN {name} TYPE {types.get(name, "TEXT")} COLLATE "{collation}"' for name in columns]
        db.execute_sql(f"ALTER TABLE {table} {', '.join(changes)}")
