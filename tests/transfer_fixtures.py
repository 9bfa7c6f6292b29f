"""What is moved, and where to: for tests of `db move`, `backup` and `restore`."""

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

# What a text may hold, and an engine, a driver or COPY may take for something else.
SAMPLE_TEXTS = [
    "Rex", "rex", "Émile", "ß", "Ärger", "עברית", "\u0645\u0631\u062d\u0628\u0627", "犬", "🐕‍🦺", "e\u0301",
    "\\N", "\\.", "\\", "a\\tb", "\\x00", "'", '"', "''; DROP TABLE dogs", "%", "%s", "{}", ",", "NULL", "0", "true",
    "a" * 80, "🐕" * 80, "Z", "z", "_", "~", "a b", "a-b", "aa",
]  # fmt: skip


def run(app: Flask, *arguments: str) -> Result:
    """What a command prints, and the code it ends with."""
    return app.test_cli_runner().invoke(args=arguments)


def error_output(result: Result) -> str:
    """The one line of a command that did nothing."""
    assert isinstance(result.exception, SystemExit)  # any other would end the program with a traceback
    assert result.exit_code == 1
    (line,) = result.output.splitlines()
    return line


@pytest.fixture(params=["the same engine", pytest.param("the other engine", marks=pytest.mark.postgresql)])
def target(
    request: pytest.FixtureRequest, engine: str, new_database: Callable[..., str], tmp_path: Path
) -> Iterator[str]:
    """The URL of a database to move to, without tables."""
    if request.param == "the same engine":
        yield new_database()
    elif engine == "postgresql":
        yield f"sqlite:///{tmp_path / 'other.sqlite'}"
    else:
        databases = request.getfixturevalue("databases")
        url = databases.create()
        yield url
        databases.drop(url)


@pytest.fixture
def populated(app: Flask) -> Flask:
    """An application with rows of every kind in every table, and ids that are gone."""
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
    for key in ("Z", "a", "ä", "_"):  # locales put these in another order than their bytes
        RateLimit.add(key, 2**31 - 9, 60)
    return app


def read_rows(source: peewee.Database) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables, as the models read them, in any order of texts."""
    return {
        model._meta.table_name: sorted(model.select().order_by(model._meta.primary_key).bind(source).tuples())
        for model in MODELS
    }


def read_rows_at(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """As `rows_of`, of the database of this URL."""
    with open_database(url) as other:
        return read_rows(other)


def is_empty(url: str) -> bool:
    """Whether no table there holds a row, where there are tables."""
    with open_database(url) as other:
        there = other.get_tables()
        return not any(model.select().bind(other).exists() for model in MODELS if model._meta.table_name in there)
