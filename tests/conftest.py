"""What the tests share: a fresh database, the production application on it, and clients that speak to it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient

from api import create_app
from api.openapi import document
from models import connect, migrations

from .described import DescribedClient, Description
from .factories import register
from .server import Server

# The fixtures of the browser, of the React client and of the documents.
pytest_plugins = ["tests.browser", "tests.client", "tests.documents"]


@pytest.fixture(scope="session")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that is up to date and empty. Each test gets a copy, which is faster than migrating."""
    path = tmp_path_factory.mktemp("golden") / "dogs.sqlite"
    database = connect(f"sqlite:///{path}")
    migrations.upgrade(database)
    database.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    return path


@pytest.fixture(scope="session")
def description(golden: Path) -> Description:
    """What the OpenAPI document says of the answers, to check each one that a test gets."""
    settings = {"DATABASE_URL": f"sqlite:///{golden}", "SECRET_KEY": "a key for the tests, which is no secret"}
    return Description(document(create_app(settings)))


@pytest.fixture(scope="session", autouse=True)
def described_servers(description: Description) -> Iterator[None]:
    """Check the answers of real servers too, which the tests call by `requests`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(requests.Session, "send", description.checked(requests.Session.send))
        yield


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
def make_app(settings: dict[str, Any], description: Description) -> Iterator[Callable[..., Flask]]:
    """Makes the application with these settings on top. The last one made is the one the models speak to."""
    made: list[Flask] = []

    def make(**overrides: Any) -> Flask:
        made.append(create_app({**settings, **overrides}))
        made[-1].test_client_class = partial(DescribedClient, description)
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
