"""Shared fixtures: a fresh database, the application as production creates it, and its clients."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient

from api import create_app
from api.config import Config
from api.openapi import document
from api.pictures import store
from models import close_connections, connect, database, migrations

from .engines import parametrize_engine
from .factories import create_account, default_picture, sqlite_file
from .live_server import Server
from .openapi_conformance import CheckedClient, OpenApiChecker

# Fixtures of PostgreSQL, the browser, the React client, the documentation, Redis, S3 and database copies.
pytest_plugins = [
    "tests.postgres", "tests.browser", "tests.react_client", "tests.doc_runner", "tests.redis", "tests.s3",
    "tests.transfer_fixtures",
]  # fmt: skip

# The tests, and the servers that they start, do not depend on the settings of the developer.
os.environ["FLASK_SKIP_DOTENV"] = "1"
for setting in fields(Config):
    os.environ.pop(setting.name, None)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Choose the database engines of a test by its mark (see tests/engines.py)."""
    parametrize_engine(metafunc)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests whose fixtures start other processes as `system`, and those that need PostgreSQL as `postgresql`.

    `make test` leaves both out.
    """
    for item in items:
        for name in {"system", "postgresql"}.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(name)
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    items[:] = share_slow_tests(items, workers)


def share_slow_tests(items: list[pytest.Item], workers: int) -> list[pytest.Item]:
    """Return the tests in an order in which each worker begins with its share of the slowest ones.

    pytest-xdist gives each worker an equal part of the tests, one after the other.
    """
    slow = [item for item in items if item.get_closest_marker("slow")]
    quick = [item for item in items if not item.get_closest_marker("slow")]
    part = -(-len(quick) // workers)
    shares = [slow[number::workers] + quick[number * part : (number + 1) * part] for number in range(workers)]
    return [item for share in shares for item in share]


@pytest.fixture(scope="session")
def system() -> None:
    """Requested by each fixture that starts another process, which marks the tests that use it as `system`."""


@pytest.fixture(scope="session")
def postgresql() -> None:
    """Requested by each fixture that needs PostgreSQL, which marks the tests that use it as `postgresql`."""


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> str:
    """The database engine: SQLite, or those that the test is marked with (see tests/engines.py)."""
    return getattr(request, "param", "sqlite")


@pytest.fixture(scope="session")
def golden_sqlite(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a migrated, empty SQLite database."""
    url = f"sqlite:///{tmp_path_factory.mktemp('golden') / 'dogs.sqlite'}"
    database = connect(url)
    migrations.upgrade(database)
    database.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    close_connections()
    return url


@pytest.fixture
def new_database(engine: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], str]]:
    """Create a database without tables, and return its URL."""
    databases = request.getfixturevalue("databases") if engine == "postgresql" else None
    made: list[str] = []

    def make() -> str:
        made.append(databases.create() if databases else f"sqlite:///{tmp_path / 'new'}{len(made) or ''}.sqlite")
        return made[-1]

    yield make
    for url in made if databases else ():
        databases.drop(url)


@pytest.fixture
def migrated_database(engine: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a migrated, empty database.

    Migrating one takes long, so SQLite's is a copy of a golden file, and PostgreSQL's is one that all tests of this
    process use, emptied.
    """
    if engine == "postgresql":
        return request.getfixturevalue("worker_database").reset()
    url = f"sqlite:///{tmp_path / 'dogs.sqlite'}"
    shutil.copy(sqlite_file(request.getfixturevalue("golden_sqlite")), sqlite_file(url))
    return url


@pytest.fixture(scope="session")
def openapi_checker() -> OpenApiChecker:
    """The OpenAPI document, to check each response that a test gets."""
    return OpenApiChecker(document(create_app({"SECRET_KEY": "a key for the tests, which is no secret"})))


@pytest.fixture(scope="session", autouse=True)
def check_server_responses(openapi_checker: OpenApiChecker) -> Iterator[None]:
    """Check the responses of real servers too, which the tests call with `requests`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(requests.Session, "send", openapi_checker.check_responses(requests.Session.send))
        yield


@pytest.fixture(scope="session", autouse=True)
def default_pictures() -> Iterator[None]:
    """Draw the default picture of a name once per process: it takes most of a registration, and is always the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "render_avatar", default_picture)
        yield


@pytest.fixture
def settings(tmp_path: Path, migrated_database: str) -> dict[str, Any]:
    """Settings with an empty database and an empty folder for pictures. Tests may change them before they use `app`."""
    return {
        "TESTING": True,
        "DATABASE_URL": migrated_database,
        "UPLOADS_URL": str(tmp_path / "uploads"),
        "SECRET_KEY": "a key for the tests, which is no secret",
        "BCRYPT_LOG_ROUNDS": 4,
    }


@pytest.fixture
def make_app(settings: dict[str, Any], openapi_checker: OpenApiChecker) -> Iterator[Callable[..., Flask]]:
    """Create the application with these settings added. The models use the database of the last one."""
    made: list[Flask] = []

    def make(**overrides: Any) -> Flask:
        made.append(create_app({**settings, **overrides}))
        made[-1].test_client_class = partial(CheckedClient, openapi_checker)
        return made[-1]

    yield make
    for app in made:
        database.initialize(app.extensions["database"])
        close_connections()


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    """The application as production creates it, with a low bcrypt cost."""
    return make_app()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """An anonymous client."""
    return app.test_client()


@pytest.fixture
def anna(app: Flask) -> FlaskClient:
    """A client that is logged in as Anna. Her account is there only in tests that use this fixture."""
    return create_account(app, "Anna")


@pytest.fixture
def bob(app: Flask) -> FlaskClient:
    """A client that is logged in as Bob. His account is there only in tests that use this fixture."""
    return create_account(app, "Bob")


@pytest.fixture
def uploads(settings: dict[str, Any]) -> Callable[[], set[str]]:
    """Return the files in the folder of pictures."""
    folder = Path(settings["UPLOADS_URL"])
    return lambda: {path.name for path in folder.iterdir()} if folder.exists() else set()


@pytest.fixture
def make_server(system: None, tmp_path: Path, new_database: Callable[..., str]) -> Iterator[Callable[..., Server]]:
    """Create real servers with these settings added, each with its own database. They are killed at teardown."""
    made: list[Server] = []

    def make(name: str = "server", **settings: Any) -> Server:
        made.append(Server(tmp_path / name, **{"DATABASE_URL": new_database(), **settings}))
        return made[-1]

    yield make
    for server in made:
        server.kill()


@pytest.fixture
def server(make_server: Callable[..., Server]) -> Server:
    """The real server on its own database, started by `python run.py`."""
    return make_server().start()
