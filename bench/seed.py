"""Seed Kennel's database: `python -m bench.seed FILE.json`, or `seed_database` for a large number of rows."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import peewee

from api import create_app
from api.security.passwords import hasher
from models import Dog, User, close_connections, connect, migrations
from models.casefold import casefold_nfc
from models.copy_database import drop_indexes, lock_tables, set_last_id
from models.table_rows import insert_rows

TEXT_COLUMNS = ("name", "owner", "breed")
CHUNK_ROWS = 5000


def seed_database(url: str, users: Iterable[dict[str, Any]], dogs: Iterable[dict[str, Any]]) -> None:
    """Create the tables in an empty database and insert these users and dogs, with ids from 1."""
    database = connect(url)
    migrations.upgrade(database)
    with database.atomic():
        lock_tables(database)
        indexes = drop_indexes(database)
        for model, rows in ((User, user_rows(users)), (Dog, dog_rows(dogs))):
            insert_rows(database, model, chunk_rows(model, rows))
            set_last_id(database, model._meta.table_name, model.select(peewee.fn.MAX(model.id)).scalar())
        for statement in indexes:  # faster than to update them with each row
            database.execute_sql(statement)
    close_connections()


def chunk_rows(model: type[peewee.Model], rows: Iterable[dict[str, Any]]) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the rows in chunks, as tuples in the order of the model's columns."""
    columns = [field.column_name for field in model._meta.sorted_fields]
    for chunk in peewee.chunked(rows, CHUNK_ROWS):
        yield [tuple(row[column] for column in columns) for row in chunk]


def user_rows(users: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the columns of each user. A user without `password_hash` cannot log in."""
    for number, user in enumerate(users, 1):
        yield {
            "id": number,
            "username": user["username"],
            "username_key": casefold_nfc(user["username"]),
            "email": user["email"],
            "password_hash": user.get("password_hash", "x" * 60),
            "image": user["image"],
            "image_width": 125,
            "image_height": 175,
            "image_has_double": 0,
            "image_is_default": 1,
            "created_at": "2026-01-01 00:00:00.000000",
        }


def dog_rows(dogs: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the columns of each dog."""
    for number, dog in enumerate(dogs, 1):
        created_at = datetime.fromisoformat(dog["created_at"]).astimezone(UTC).replace(tzinfo=None)
        yield {
            "id": number,
            **{name: dog[name] for name in TEXT_COLUMNS},
            **{f"{name}_key": casefold_nfc(dog[name]) for name in TEXT_COLUMNS},
            "version": 1,
            "created_at": created_at.isoformat(" ", "microseconds"),
            "user_id": dog["user"],
        }


if __name__ == "__main__":
    rows = json.loads(Path(sys.argv[1]).read_text())
    with create_app().app_context():
        for user in rows["users"]:
            user["password_hash"] = hasher.get().generate_password_hash(user["password"]).decode()
    seed_database(os.environ["DATABASE_URL"], rows["users"], rows["dogs"])
