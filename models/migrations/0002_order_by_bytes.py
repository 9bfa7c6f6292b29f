"""Texts to find and sort by are compared byte by byte, as SQLite does, and not as PostgreSQL's locale would."""

from peewee import Database, PostgresqlDatabase
from playhouse.migrate import SchemaMigrator

COLUMNS = {"users": ("username_key", "email"), "dogs": ("name_key", "owner_key", "breed_key")}


def up(migrator: SchemaMigrator, db: Database) -> None:
    compare_by(db, "C")


def down(migrator: SchemaMigrator, db: Database) -> None:
    compare_by(db, "default")


def compare_by(db: Database, collation: str) -> None:
    if not isinstance(db, PostgresqlDatabase):
        return
    for table, columns in COLUMNS.items():
        types = {"email": "VARCHAR(254)"}
        changes = [f'ALTER COLUMN {name} TYPE {types.get(name, "TEXT")} COLLATE "{collation}"' for name in columns]
        db.execute_sql(f"ALTER TABLE {table} {', '.join(changes)}")
