"""`flask --app run db move`: copies all rows to another database, on the same engine and on the other one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import peewee
import pytest
from click.testing import Result
from flask import Flask
from flask.testing import FlaskClient

from models import MODELS, Dog, RateLimit, Session, User, database, migrations
from models.base import utc_now
from models.copy_database import open_database
from models.search import INDEX
from models.table_rows import BATCH_SIZE

from .engines import BOTH_ENGINES
from .factories import PASSWORD, add_dog, register, sqlite_file, trace_sql
from .live_server import free_port
from .transfer_fixtures import SAMPLE_TEXTS, error_output, is_empty, read_rows, read_rows_at, run_command

pytestmark = BOTH_ENGINES

SORTS = [f"{sign}{name}" for name in ("id", "name", "breed", "owner", "created_at") for sign in ("", "-")]


def move(app: Flask, url: str) -> Result:
    return run_command(app, "db", "move", "--to", url)


# --- Copied rows ---


def test_move_copies_all_rows_and_prints_checksums(populated_app: Flask, target: str) -> None:
    before = read_rows(database.obj)

    result = move(populated_app, target)

    assert result.exit_code == 0, result.output
    assert all(before.values())
    assert read_rows(database.obj) == before
    assert read_rows_at(target) == before
    lines = result.stdout.splitlines()
    assert [line.rpartition(" ")[0] for line in lines[: len(MODELS)]] == [
        f"{table}: {len(rows)} rows, SHA-256" for table, rows in before.items()
    ]
    assert "DATABASE_URL" in lines[-1]


def test_checksums_are_equal_on_both_engines(
    populated_app: Flask, target: str, new_database: Callable[..., str]
) -> None:
    first = move(populated_app, target)
    second = move(populated_app, new_database())

    assert first.stdout == second.stdout


def test_move_there_and_back_preserves_rows(
    populated_app: Flask, make_app: Callable[..., Flask], target: str, new_database: Callable[..., str]
) -> None:
    final = new_database()
    before = read_rows(database.obj)

    assert move(populated_app, target).exit_code == 0
    assert move(make_app(DATABASE_URL=target), final).exit_code == 0

    assert read_rows_at(final) == before


def test_move_preserves_sessions_and_lists(populated_app: Flask, make_app: Callable[..., Flask], target: str) -> None:
    client = populated_app.test_client()
    assert client.post("/user/login", json={"username": "Anna", "password": PASSWORD}).status_code == 200

    def read_responses(client: FlaskClient) -> dict[str, Any]:
        lists = {sort: client.get(f"/api/v1/dogs?limit=100&sort={sort}").json["data"] for sort in SORTS}
        return {**lists, "profile": client.get("/user/profile").json, "search": client.get("/api/v1/dogs?q=É").json}

    before = read_responses(client)
    assert move(populated_app, target).exit_code == 0
    moved_client = make_app(DATABASE_URL=target).test_client()
    moved_client.set_cookie("kennel_session", client.get_cookie("kennel_session").value)

    assert before["profile"]["status"]["code"] == 200
    assert read_responses(moved_client) == before


def test_move_preserves_next_ids(populated_app: Flask, make_app: Callable[..., Flask], target: str) -> None:
    assert move(populated_app, target).exit_code == 0

    def create_rows(app: Flask) -> list[int]:
        client = register(app, "Carla")
        return [client.get("/user/profile").json["data"]["id"], add_dog(client)["id"], Session.select().count()]

    target_ids = create_rows(make_app(DATABASE_URL=target))
    database.initialize(populated_app.extensions["database"])
    source_ids = create_rows(populated_app)

    assert target_ids == source_ids
    assert target_ids[1] == len(SAMPLE_TEXTS) + 1


def test_move_of_empty_database(app: Flask, make_app: Callable[..., Flask], target: str) -> None:
    assert move(app, target).exit_code == 0

    assert is_empty(target)
    assert add_dog(register(make_app(DATABASE_URL=target), "Anna"))["id"] == 1


def test_move_does_not_reuse_ids_of_deleted_rows(
    app: Flask, anna: FlaskClient, make_app: Callable[..., Flask], target: str
) -> None:
    add_dog(anna)
    Dog.delete().execute()

    assert move(app, target).exit_code == 0

    target_app = make_app(DATABASE_URL=target)
    assert add_dog(register(target_app, "Bob"))["id"] == 2


def test_move_keeps_indexes_and_foreign_keys(app: Flask, anna: FlaskClient, target: str) -> None:
    with open_database(target) as other:
        migrations.upgrade(other)
        before = {model: sorted(other.get_indexes(model._meta.table_name)) for model in MODELS}

    assert move(app, target).exit_code == 0

    with open_database(target) as other:
        assert {model: sorted(other.get_indexes(model._meta.table_name)) for model in MODELS} == before
        dog = {"name": "a", "name_key": "a", "owner": "a", "owner_key": "a", "breed": "a", "breed_key": "a"}
        with pytest.raises(peewee.IntegrityError):
            Dog.insert(user=99, **dog).bind(other).execute()


def test_move_creates_private_sqlite_file(populated_app: Flask, tmp_path: Path) -> None:
    path = tmp_path / "new.sqlite"

    assert move(populated_app, f"sqlite:///{path}").exit_code == 0

    assert path.stat().st_mode & 0o777 == 0o600


def test_move_is_a_consistent_snapshot_under_writes(app: Flask, anna: FlaskClient, target: str) -> None:
    user = User.get()
    Dog.insert_many(
        {"name": f"{n}", "name_key": "", "owner": "", "owner_key": "", "breed": "", "breed_key": "", "user": user}
        for n in range(2 * BATCH_SIZE)
    ).execute()
    initial = Dog.select().count()
    stop, started = threading.Event(), threading.Event()

    def write_rows() -> int:
        for number in count(1):
            with database.atomic():
                Dog.create_for(user, f"new {number}", "Poodle", "Anna")
                RateLimit.add("dogs", 1, 999)
            if number == 5:
                started.set()
            if stop.is_set():
                break
        database.close()
        return number

    with ThreadPoolExecutor(1) as threads:
        writer = threads.submit(write_rows)
        started.wait(60)
        result = move(app, target)
        stop.set()
        written = writer.result()

    assert result.exit_code == 0, result.output
    rows = read_rows_at(target)
    (counter,) = (row for row in rows["rate_limits"] if row[0] == "dogs")
    assert 5 <= counter[1] == len(rows["dogs"]) - initial < written


# --- Refused sources and targets ---


def test_move_to_nonempty_target_changes_nothing(
    populated_app: Flask, make_app: Callable[..., Flask], target: str
) -> None:
    assert move(populated_app, target).exit_code == 0
    with open_database(target) as other:
        for model in MODELS:
            if model is not RateLimit:
                model.delete().bind(other).execute()
    before = read_rows_at(target)

    assert "not empty: rate_limits" in error_output(move(populated_app, target))
    assert read_rows_at(target) == before
    assert any(before.values())


def test_nonempty_target_of_older_schema_is_not_migrated(populated_app: Flask, target: str) -> None:
    assert move(populated_app, target).exit_code == 0
    with open_database(target) as other:
        migrations.runner(other).down()

    assert "not empty" in error_output(move(populated_app, target))

    with open_database(target) as other:
        assert [migration.applied is None for migration in migrations.status(other)][-1]


def test_outdated_source_is_rejected_with_upgrade_command(populated_app: Flask, target: str) -> None:
    migrations.runner(database.obj).down()

    assert "flask --app run db upgrade" in error_output(move(populated_app, target))
    assert is_empty(target)


@pytest.mark.parametrize("newer_database", ["source", "target"])
def test_newer_schema_is_rejected_with_migration_name(app: Flask, target: str, newer_database: str) -> None:
    with open_database(target) as other:
        migrations.upgrade(other)
        migrations.runner(database.obj if newer_database == "source" else other).History.create(name="9999_tomorrow")

    assert "9999_tomorrow" in error_output(move(app, target))


def test_move_to_same_database_is_rejected_for_any_url(
    populated_app: Flask, settings: dict[str, Any], engine: str, tmp_path: Path
) -> None:
    before = read_rows(database.obj)
    urls = [settings["DATABASE_URL"]]
    if engine == "sqlite":
        link = tmp_path / "link.sqlite"
        link.symlink_to(sqlite_file(urls[0]))
        urls += [f"sqlite:///{link}", f"sqlite:///{tmp_path}/../{tmp_path.name}/{sqlite_file(urls[0]).name}"]
    else:
        urls.append(urls[0].replace("postgresql://", "postgres://") + "?application_name=other")

    for url in urls:
        assert "same database" in error_output(move(populated_app, url))
    assert read_rows(database.obj) == before


def test_unusable_target_error_has_no_password(app: Flask, tmp_path: Path) -> None:
    (tmp_path / "text.sqlite").write_text("This is not a database, but long enough to have its header. " * 9)
    for url in (
        f"sqlite:///{tmp_path / 'nowhere' / 'dogs.sqlite'}",
        f"sqlite:///{tmp_path}",
        f"sqlite:///{tmp_path / 'text.sqlite'}",
        f"postgresql://anna:hunter2@127.0.0.1:{free_port()}/dogs",
        f"postgresql://anna@127.0.0.1:{free_port()}/dogs?password=hunter2",
        "postgresql://anna:hunter2@127.0.0.1/",
        "postgresql://anna:hunter2/@127.0.0.1/dogs",
        "postgresql://anna:hunter2@127.0.0.1/dogs?surprise=hunter2",
        "mysql://anna:hunter2@127.0.0.1/dogs",
        "hunter2",
    ):
        line = error_output(move(app, url))
        assert line.startswith("Error: --to: ")
        assert "hunter2" not in line
    assert sorted(path.name for path in tmp_path.glob("nowhere*")) == []


def test_missing_source_fails_and_is_not_created(
    make_app: Callable[..., Flask], new_database: Callable[..., str], tmp_path: Path, engine: str
) -> None:
    missing = (
        f"sqlite:///{tmp_path / 'missing.sqlite'}"
        if engine == "sqlite"
        else f"postgresql://a@127.0.0.1:{free_port()}/a"
    )
    app = make_app(DATABASE_URL=missing)

    error_output(move(app, new_database()))

    assert not (tmp_path / "missing.sqlite").exists()


# --- Failures during the copy ---


def assert_rolled_back(target: str) -> None:
    """Assert that the target is empty and usable: its ids start at 1, and it has its indexes."""
    assert is_empty(target)
    with open_database(target) as other:
        indexes = {index.name for index in other.get_indexes("dogs")}
        assert len(indexes - {INDEX, "dogs_pkey"}) == 5
        user = {"password_hash": "", "image": "", "image_width": 1, "image_height": 1}
        flags = {"image_has_double": False, "image_is_default": True, "created_at": utc_now()}
        row = User.insert(username="a", username_key="a", email="a", **user, **flags).bind(other)
        assert row.execute() == 1


def test_row_rejected_by_target_rolls_back(populated_app: Flask, target: str) -> None:
    with open_database(target) as other:
        migrations.upgrade(other)
        # Reject rows of the last table, which is copied after all others.
        if isinstance(other, peewee.SqliteDatabase):
            other.execute_sql(
                "CREATE TRIGGER no BEFORE INSERT ON rate_limits BEGIN SELECT RAISE(ABORT, 'no more'); END"
            )
        else:
            other.execute_sql("ALTER TABLE rate_limits ADD CHECK (length(key) > 999)")

    assert "Copy failed, target unchanged" in error_output(move(populated_app, target))

    assert_rolled_back(target)


def test_checksum_mismatch_rolls_back(populated_app: Flask, target: str) -> None:
    with open_database(target) as other:
        migrations.upgrade(other)
        if isinstance(other, peewee.SqliteDatabase):
            other.execute_sql(
                "CREATE TRIGGER t AFTER INSERT ON dogs BEGIN UPDATE dogs SET name = 'Max' WHERE id = NEW.id; END"
            )
        else:
            other.execute_sql(
                "CREATE FUNCTION max() RETURNS trigger AS 'BEGIN NEW.name = ''Max''; RETURN NEW; END' LANGUAGE plpgsql"
            )
            other.execute_sql("CREATE TRIGGER t BEFORE INSERT ON dogs FOR EACH ROW EXECUTE FUNCTION max()")

    assert "dogs reads back other rows" in error_output(move(populated_app, target))

    assert_rolled_back(target)


@pytest.fixture
def default_sigint() -> Iterator[None]:
    """Let SIGINT interrupt this process, which ignores it where a script has started it in the background."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, handler)


@pytest.mark.usefixtures("default_sigint")
def test_sigint_rolls_back(populated_app: Flask, target: str) -> None:
    main_thread = threading.get_ident()

    def interrupt(statement: str) -> None:
        if "sequence" in statement:  # the last ids are read after all rows have been copied
            signal.pthread_kill(main_thread, signal.SIGINT)

    with trace_sql(populated_app, interrupt):
        result = move(populated_app, target)

    assert (result.exit_code, "Aborted!" in result.output) == (1, True)
    assert_rolled_back(target)
