"""Fixtures and helpers for the tests of `db move`, `backup` and `restore`: a populated source, and an empty target."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import peewee
import pytest
from click.testing import Result
from flask import Flask

from models import MODELS, Dog, RateLimit
from models.copy_database import open_database

from .factories import PASSWORD, add_dog, photo, register

# Texts that an engine, a driver or COPY might misinterpret.
SAMPLE_TEXTS = [
    "Rex", "rex", "Émile", "ß", "Ärger", "עברית", "\u0645\u0631\u062d\u0628\u0627", "犬", "🐕‍🦺", "e\u0301",
    "\\N", "\\.", "\\", "a\\tb", "\\x00", "'", '"', "''; DROP TABLE dogs", "%", "%s", "{}", ",", "NULL", "0", "true",
    "a" * 80, "🐕" * 80, "Z", "z", "_", "~", "a b", "a-b", "aa",
]  # fmt: skip


def run_command(app: Flask, *arguments: str) -> Result:
    """Run a `flask --app run ...` command in this process, and return its output and exit code."""
    return app.test_cli_runner().invoke(args=arguments)


def error_output(result: Result) -> str:
    """Return the only line of output of a command that failed with exit code 1."""
    assert isinstance(result.exception, SystemExit)  # any other exception would print a traceback
    assert result.exit_code == 1
    (line,) = result.output.splitlines()
    return line


@pytest.fixture(params=["same_engine", pytest.param("other_engine", marks=pytest.mark.postgresql)])
def target(
    request: pytest.FixtureRequest, engine: str, new_database: Callable[..., str], tmp_path: Path
) -> Iterator[str]:
    """The URL of a database without tables, to copy to: on the engine of the source, and on the other one."""
    if request.param == "same_engine":
        yield new_database()
    elif engine == "postgresql":
        yield f"sqlite:///{tmp_path / 'other.sqlite'}"
    else:
        databases = request.getfixturevalue("databases")
        url = databases.create()
        yield url
        databases.drop(url)


@pytest.fixture
def populated_app(app: Flask) -> Flask:
    """An application with rows in every table, and gaps in the ids."""
    anna = register(app, "Anna")
    assert anna.put("/user/picture", data={"file": photo()}).status_code == 200
    bob = register(app, "Bob")
    register(app, "Ünal 🐕", email="u@example.com")
    for number, text in enumerate(SAMPLE_TEXTS):
        add_dog((anna, bob)[number % 2], name=text, breed=SAMPLE_TEXTS[-number], owner=SAMPLE_TEXTS[number // 2])
    Dog.update(created_at=datetime(2024, 2, 29, 12, tzinfo=UTC)).where(Dog.id == 1).execute()
    Dog.update(created_at=datetime(2024, 2, 29, 12, 0, 0, 1, tzinfo=UTC)).where(Dog.id < 5, Dog.id > 2).execute()
    for dog_id in (2, len(SAMPLE_TEXTS)):
        assert Dog.delete().where(Dog.id == dog_id).execute()
    assert bob.post("/user/login", json={"username": "Bob", "password": PASSWORD, "remember": True}).status_code == 200
    assert bob.post("/user/login", json={"username": "Bob", "password": "wrong password"}).status_code == 401
    for key in ("Z", "a", "ä", "_"):  # collations of locales sort these unlike their bytes
        RateLimit.add(key, 2**31 - 9, 60)
    for model in MODELS:
        if not model.select().exists():
            model.create(**{field.name: sample_value(field) for field in model._meta.sorted_fields[1:]})
    return app


def sample_value(field: peewee.Field) -> Any:
    """Return a value for a column of a model that has no rows yet, such as one of a new resource."""
    if isinstance(field, peewee.ForeignKeyField):
        return field.rel_model.select().order_by(field.rel_model.id).first()
    if isinstance(field, peewee.DateTimeField):
        return datetime(2024, 2, 29, 12, tzinfo=UTC)
    return 1 if isinstance(field, peewee.IntegerField) else "Rex"


def read_rows(source: peewee.Database) -> dict[str, list[tuple[Any, ...]]]:
    """Return the rows of each table as the models read them, sorted by primary key."""
    return {
        model._meta.table_name: sorted(model.select().order_by(model._meta.primary_key).bind(source).tuples())
        for model in MODELS
    }


def read_rows_at(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return what `read_rows` does, for the database at this URL."""
    with open_database(url) as other:
        return read_rows(other)


def is_empty(url: str) -> bool:
    """Return whether the database at this URL has no rows, with or without tables."""
    with open_database(url) as other:
        existing = other.get_tables()
        return not any(model.select().bind(other).exists() for model in MODELS if model._meta.table_name in existing)
