"""What the tests share: a fresh database, the production application on it, and clients that speak to it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from api import create_app
from models import connect, migrations

from .factories import register
from .server import Server


@pytest.fixture(scope="session")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that is up to date and empty. Each test gets a copy, which is faster than migrating."""
    path = tmp_path_factory.mktemp("golden") / "dogs.sqlite"
    database = connect(f"sqlite:///{path}")
    migrations.upgrade(database)
    database.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    return path


@pytest.fixture
def settings(tmp_path: Path, golden: Path) -> dict[str, Any]:
    """Settings with a fresh database and an empty folder for pictures. Tests change them before they ask for `app`."""
    shutil.copy(golden, tmp_path / "dogs.sqlite")
    return {
        "TESTING": True,
        "DATABASE_URL": f"sqlite:///{tmp_path / 'dogs.sqlite'}",
        "UPLOADS_URL": str(tmp_path / "uploads"),
        "SECRET_KEY": "a key for the tests, which is no secret",
        "BCRYPT_LOG_ROUNDS": 4,
    }


@pytest.fixture
def make_app(settings: dict[str, Any]) -> Iterator[Callable[..., Flask]]:
    """Makes the application with these settings on top. The last one made is the one the models speak to."""
    made: list[Flask] = []

    def make(**overrides: Any) -> Flask:
        made.append(create_app({**settings, **overrides}))
        return made[-1]

    yield make
    for app in made:
        app.extensions["database"].close()


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    """The application, as production makes it, with cheap passwords."""
    return make_app()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A client that nobody is logged in by."""
    return app.test_client()


@pytest.fixture
def anna(app: Flask) -> FlaskClient:
    """A client that Anna is logged in by."""
    return register(app, "Anna")


@pytest.fixture
def bob(app: Flask) -> FlaskClient:
    """A client that Bob is logged in by."""
    return register(app, "Bob")


@pytest.fixture
def uploads(settings: dict[str, Any]) -> Callable[[], set[str]]:
    """Lists the files in the folder of pictures."""
    folder = Path(settings["UPLOADS_URL"])
    return lambda: {path.name for path in folder.iterdir()} if folder.exists() else set()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """The real server on a database of its own, started by `python run.py` as users start it."""
    with Server(tmp_path / "server") as running:
        yield running
