"""Readiness: 200 when all checks pass, 503 with the failed checks otherwise, within the deadline even if one hangs."""

from __future__ import annotations

import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from api.pictures.local import LocalStorage
from models import migrations
from models.db.connection import make_database

from .engines import BOTH_ENGINES, POSTGRESQL_ONLY, SQLITE_ONLY
from .factories import api_error, capture_log, sqlite_file
from .postgres import Cluster
from .s3 import S3

DATABASE_FAILURE = "Database unavailable"
STORAGE_FAILURE = "Picture storage unavailable"
MAX_RESPONSE_SECONDS = 2


def get_readiness(client: FlaskClient) -> Any:
    """Request `/health/ready` and require a response within the deadline."""
    started = time.monotonic()
    response = client.get("/health/ready")
    assert time.monotonic() - started < MAX_RESPONSE_SECONDS
    return response


def get_failed_checks(client: FlaskClient) -> dict[str, list[str]]:
    """Require a 503 and return the failed checks with their messages."""
    response = get_readiness(client)
    assert api_error(response) == (503, "unavailable")
    assert response.headers["Retry-After"] == "1"
    fields = response.json["error"]["fields"]
    assert response.json["status"]["message"] == ". ".join(text for texts in fields.values() for text in texts)
    return fields


def list_check_threads() -> list[threading.Thread]:
    """Return the health check threads that are running."""
    return [thread for thread in threading.enumerate() if thread.name == "health"]


@BOTH_ENGINES
def test_ready_returns_200_when_all_checks_pass(client: FlaskClient, uploads: Callable[[], set[str]]) -> None:
    response = get_readiness(client)

    assert response.status_code == 200
    assert response.json["data"] == {"database": True, "migrations": True, "store": True}
    assert uploads() == set()


@BOTH_ENGINES
def test_pending_migration_returns_503_with_its_name(app: Flask, client: FlaskClient) -> None:
    app.extensions["database"].execute_sql("DELETE FROM schema_migration WHERE name = '0001_initial'")

    assert get_failed_checks(client) == {"migrations": ["Pending migrations: 0001_initial"]}


def test_uploads_path_that_is_a_file_returns_503(make_app: Callable[..., Flask], settings: dict[str, Any]) -> None:
    client = make_app().test_client()
    Path(settings["UPLOADS_URL"]).write_text("no folder")
    log = capture_log()

    assert get_failed_checks(client) == {"store": [STORAGE_FAILURE]}

    assert f"{STORAGE_FAILURE} (FileExistsError)" in log.getvalue()
    assert "uploads" not in log.getvalue()


@SQLITE_ONLY
class TestSQLite:
    """Readiness on SQLite."""

    @pytest.fixture
    def file(self, settings: dict[str, Any]) -> Path:
        """The database file."""
        return sqlite_file(settings["DATABASE_URL"])

    def test_empty_database_lists_pending_migrations(self, client: FlaskClient, file: Path) -> None:
        file.write_bytes(b"")

        (text,) = get_failed_checks(client)["migrations"]
        assert text.startswith("Pending migrations: 0001_initial")

    def test_corrupt_database_file_returns_503(self, client: FlaskClient, file: Path) -> None:
        file.write_bytes(b"Not an SQLite file. " * 1000)
        log = capture_log()

        assert get_failed_checks(client) == {"database": [DATABASE_FAILURE]}
        assert f"{DATABASE_FAILURE} (DatabaseError)" in log.getvalue()
        assert "no database" not in log.getvalue()

    def test_missing_database_file_returns_503_and_is_not_created(self, client: FlaskClient, file: Path) -> None:
        file.unlink()

        assert get_failed_checks(client) == {"database": [DATABASE_FAILURE]}
        assert not file.exists()

    def test_all_failed_checks_are_reported_together(
        self, client: FlaskClient, settings: dict[str, Any], file: Path
    ) -> None:
        file.unlink()
        Path(settings["UPLOADS_URL"]).write_text("no folder")

        assert get_failed_checks(client) == {"database": [DATABASE_FAILURE], "store": [STORAGE_FAILURE]}

    def test_locked_database_returns_503_until_released(self, client: FlaskClient, file: Path) -> None:
        with exclusive_lock(file):
            assert get_failed_checks(client) == {"database": [DATABASE_FAILURE]}
        for thread in list_check_threads():
            thread.join()

        assert get_readiness(client).status_code == 200

    def test_concurrent_probes_share_one_check(self, app: Flask, file: Path) -> None:
        with exclusive_lock(file):
            with ThreadPoolExecutor(20) as threads:
                failures = list(threads.map(lambda _: get_failed_checks(app.test_client()), range(20)))

            assert failures == [{"database": [DATABASE_FAILURE]}] * 20
            assert len(list_check_threads()) == 1
            started = time.monotonic()
            get_failed_checks(app.test_client())  # the check has already exceeded the deadline
            assert time.monotonic() - started < MAX_RESPONSE_SECONDS / 4
            assert len(list_check_threads()) == 1
        for thread in list_check_threads():
            thread.join()


@contextmanager
def exclusive_lock(file: Path) -> Iterator[None]:
    """Hold an exclusive lock on the database file: other connections cannot even read."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")


@POSTGRESQL_ONLY
class TestPostgres:
    """Readiness on PostgreSQL."""

    @pytest.fixture
    def settings(self, settings: dict[str, Any], cluster: Cluster) -> dict[str, Any]:
        """Settings with a PostgreSQL server of this test, which it may suspend and stop."""
        url = cluster.url("postgres")
        database = make_database(url)
        migrations.upgrade(database)
        database.close_idle()
        return {**settings, "DATABASE_URL": url}

    def test_hung_database_returns_503_until_it_resumes(self, client: FlaskClient, cluster: Cluster) -> None:
        assert get_readiness(client).status_code == 200
        cluster.kill(signal.SIGSTOP)

        assert get_failed_checks(client) == get_failed_checks(client) == {"database": [DATABASE_FAILURE]}
        assert len(list_check_threads()) == 1
        cluster.kill(signal.SIGCONT)
        for thread in list_check_threads():
            thread.join()
        assert get_readiness(client).status_code == 200

    def test_stopped_database_returns_503_until_restarted(self, client: FlaskClient, cluster: Cluster) -> None:
        assert get_readiness(client).status_code == 200
        cluster.stop()
        log = capture_log()

        assert get_failed_checks(client) == {"database": [DATABASE_FAILURE]}
        assert f"{DATABASE_FAILURE} (OperationalError)" in log.getvalue()
        assert "127.0.0.1" not in log.getvalue()
        cluster.start()
        assert get_readiness(client).status_code == 200


def test_hung_object_store_returns_503_until_it_resumes(
    make_app: Callable[..., Flask], own_s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in own_s3.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("api.observability.health.STORE_VALID_SECONDS", 0)
    client = make_app(UPLOADS_URL=f"s3://{own_s3.make_bucket().name}").test_client()
    assert get_readiness(client).status_code == 200

    own_s3.suspend()
    assert get_failed_checks(client) == get_failed_checks(client) == {"store": [STORAGE_FAILURE]}
    own_s3.resume()
    for thread in list_check_threads():
        thread.join()
    assert get_readiness(client).status_code == 200


def test_readiness_in_a_loop_writes_no_file_each_time(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    write = LocalStorage.write
    monkeypatch.setattr(LocalStorage, "write", lambda *args: written.append(args[1]) or write(*args))

    for _ in range(10):
        assert client.get("/health/ready").status_code == 200

    assert len(written) <= 1
