"""Whether the server is ready: what it says, by which reasons it is not, and that it says so however much hangs."""

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

from models import migrations
from models.db.connection import make_database

from .engines import BOTH_ENGINES, POSTGRESQL_ONLY, SQLITE_ONLY
from .factories import api_error, capture_log, sqlite_file
from .postgres import Cluster
from .s3 import S3

DATABASE = "Database unavailable"
STORE = "Pictures can't be stored"
PROMISED_SECONDS = 2


def ready(client: FlaskClient) -> Any:
    """The answer, which came in time."""
    started = time.monotonic()
    answer = client.get("/health/ready")
    assert time.monotonic() - started < PROMISED_SECONDS
    return answer


def reasons(client: FlaskClient) -> dict[str, list[str]]:
    """Why it is not ready."""
    answer = ready(client)
    assert api_error(answer) == (503, "unavailable")
    assert answer.headers["Retry-After"] == "1"
    fields = answer.json["error"]["fields"]
    assert answer.json["status"]["message"] == ". ".join(text for texts in fields.values() for text in texts)
    return fields


def checks() -> list[threading.Thread]:
    """The threads that check at this moment."""
    return [thread for thread in threading.enumerate() if thread.name == "health"]


@BOTH_ENGINES
def test_a_server_that_can_do_its_work_says_so(client: FlaskClient, uploads: Callable[[], set[str]]) -> None:
    answer = ready(client)

    assert answer.status_code == 200
    assert answer.json["data"] == {"database": True, "migrations": True, "store": True}
    assert uploads() == set()


@BOTH_ENGINES
def test_a_migration_that_is_still_to_be_applied_is_named(app: Flask, client: FlaskClient) -> None:
    app.extensions["database"].execute_sql("DELETE FROM schema_migration WHERE name = '0001_initial'")

    assert reasons(client) == {"migrations": ["Pending migrations: 0001_initial"]}


def test_a_file_in_place_of_the_folder_of_pictures_is_a_reason(
    make_app: Callable[..., Flask], settings: dict[str, Any]
) -> None:
    client = make_app().test_client()
    Path(settings["UPLOADS_URL"]).write_text("no folder")
    log = capture_log()

    assert reasons(client) == {"store": [STORE]}

    assert f"{STORE} (FileExistsError)" in log.getvalue()
    assert "uploads" not in log.getvalue()


@SQLITE_ONLY
class TestSQLite:
    """Of a database that is a file."""

    @pytest.fixture
    def file(self, settings: dict[str, Any]) -> Path:
        """The file of the database."""
        return sqlite_file(settings["DATABASE_URL"])

    def test_a_database_without_tables_names_its_migrations(self, client: FlaskClient, file: Path) -> None:
        file.write_bytes(b"")

        (text,) = reasons(client)["migrations"]
        assert text.startswith("Pending migrations: 0001_initial")

    def test_a_file_that_is_no_database_is_a_reason(self, client: FlaskClient, file: Path) -> None:
        file.write_bytes(b"This was a database once. " * 1000)
        log = capture_log()

        assert reasons(client) == {"database": [DATABASE]}
        assert f"{DATABASE} (DatabaseError)" in log.getvalue()
        assert "no database" not in log.getvalue()

    def test_a_file_that_is_gone_is_a_reason_and_is_not_made_anew(self, client: FlaskClient, file: Path) -> None:
        file.unlink()

        assert reasons(client) == {"database": [DATABASE]}
        assert not file.exists()

    def test_all_reasons_are_named_at_once(self, client: FlaskClient, settings: dict[str, Any], file: Path) -> None:
        file.unlink()
        Path(settings["UPLOADS_URL"]).write_text("no folder")

        assert reasons(client) == {"database": [DATABASE], "store": [STORE]}

    def test_a_database_that_hangs_is_a_reason_until_it_answers_again(self, client: FlaskClient, file: Path) -> None:
        with locked(file):
            assert reasons(client) == {"database": [DATABASE]}
        for check in checks():
            check.join()

        assert ready(client).status_code == 200

    def test_many_who_ask_meanwhile_share_one_check_and_wait_no_longer(self, app: Flask, file: Path) -> None:
        with locked(file):
            with ThreadPoolExecutor(20) as threads:
                answers = list(threads.map(lambda _: reasons(app.test_client()), range(20)))

            assert answers == [{"database": [DATABASE]}] * 20
            assert len(checks()) == 1
            started = time.monotonic()
            reasons(app.test_client())  # it has hung for longer than the deadline
            assert time.monotonic() - started < PROMISED_SECONDS / 4
            assert len(checks()) == 1
        for check in checks():
            check.join()


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """For the block, nobody else can even read this database: a connection to it waits."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")


@POSTGRESQL_ONLY
class TestPostgres:
    """Of a database that is a server."""

    @pytest.fixture
    def settings(self, settings: dict[str, Any], cluster: Cluster) -> dict[str, Any]:
        """Settings with a database server that this test may hang and stop."""
        url = cluster.url("postgres")
        database = make_database(url)
        migrations.upgrade(database)
        database.close_idle()
        return {**settings, "DATABASE_URL": url}

    def test_a_server_that_hangs_is_a_reason_until_it_answers_again(
        self, client: FlaskClient, cluster: Cluster
    ) -> None:
        assert ready(client).status_code == 200
        cluster.kill(signal.SIGSTOP)

        assert reasons(client) == reasons(client) == {"database": [DATABASE]}
        assert len(checks()) == 1
        cluster.kill(signal.SIGCONT)
        for check in checks():
            check.join()
        assert ready(client).status_code == 200

    def test_a_server_that_is_gone_is_a_reason_until_it_is_back(self, client: FlaskClient, cluster: Cluster) -> None:
        assert ready(client).status_code == 200
        cluster.stop()
        log = capture_log()

        assert reasons(client) == {"database": [DATABASE]}
        assert f"{DATABASE} (OperationalError)" in log.getvalue()
        assert "127.0.0.1" not in log.getvalue()
        cluster.start()
        assert ready(client).status_code == 200


def test_a_store_that_hangs_is_a_reason_until_it_answers_again(
    make_app: Callable[..., Flask], own_s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in own_s3.environment.items():
        monkeypatch.setenv(name, value)
    client = make_app(UPLOADS_URL=f"s3://{own_s3.make_bucket().name}").test_client()
    assert ready(client).status_code == 200

    own_s3.hang()
    assert reasons(client) == reasons(client) == {"store": [STORE]}
    own_s3.go_on()
    for check in checks():
        check.join()
    assert ready(client).status_code == 200
