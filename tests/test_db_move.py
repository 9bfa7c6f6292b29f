"""`flask --app run db move`: all rows go to another database, of the same engine and of the other one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
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
from models.copy_database import BATCH_SIZE, open_database
from models.search import INDEX

from .engines import BOTH_ENGINES
from .factories import PASSWORD, add_dog, register, sqlite_file, trace_sql
from .live_server import free_port
from .transfer_fixtures import SAMPLE_TEXTS, error_output, is_empty, read_rows, read_rows_at, run_command

pytestmark = BOTH_ENGINES

SORTS = [f"{sign}{name}" for name in ("id", "name", "breed", "owner", "created_at") for sign in ("", "-")]


def move(app: Flask, url: str) -> Result:
    return run_command(app, "db", "move", "--to", url)


# --- What is moved ---


def test_all_rows_of_all_tables_are_there_and_told(populated: Flask, target: str) -> None:
    before = read_rows(database.obj)

    result = move(populated, target)

    assert result.exit_code == 0, result.output
    assert all(before.values())
    assert read_rows(database.obj) == before
    assert read_rows_at(target) == before
    lines = result.stdout.splitlines()
    assert [line.rpartition(" ")[0] for line in lines[: len(MODELS)]] == [
        f"{table}: {len(rows)} rows, SHA-256" for table, rows in before.items()
    ]
    assert "DATABASE_URL" in lines[-1]


def test_checksums_are_the_same_on_both_engines(
    populated: Flask, target: str, new_database: Callable[..., str]
) -> None:
    first = move(populated, target)
    second = move(populated, new_database())

    assert first.stdout == second.stdout


def test_there_and_back_again_is_where_it_was(
    populated: Flask, make_app: Callable[..., Flask], target: str, new_database: Callable[..., str]
) -> None:
    back = new_database()
    before = read_rows(database.obj)

    assert move(populated, target).exit_code == 0
    assert move(make_app(DATABASE_URL=target), back).exit_code == 0

    assert read_rows_at(back) == before


def test_a_cookie_and_every_list_are_the_same_afterwards(
    populated: Flask, make_app: Callable[..., Flask], target: str
) -> None:
    client = populated.test_client()
    assert client.post("/user/login", json={"username": "Anna", "password": PASSWORD}).status_code == 200

    def seen(client: FlaskClient) -> dict[str, Any]:
        lists = {sort: client.get(f"/api/v1/dogs?limit=100&sort={sort}").json["data"] for sort in SORTS}
        return {**lists, "profile": client.get("/user/profile").json, "found": client.get("/api/v1/dogs?q=É").json}

    before = seen(client)
    assert move(populated, target).exit_code == 0
    moved = make_app(DATABASE_URL=target).test_client()
    moved.set_cookie("session", client.get_cookie("session").value)

    assert before["profile"]["status"]["code"] == 200
    assert seen(moved) == before


def test_the_next_ids_are_those_that_would_have_come_next(
    populated: Flask, make_app: Callable[..., Flask], target: str
) -> None:
    assert move(populated, target).exit_code == 0

    def next_ids(app: Flask) -> list[int]:
        client = register(app, "Carla")
        return [client.get("/user/profile").json["data"]["id"], add_dog(client)["id"], Session.select().count()]

    moved = make_app(DATABASE_URL=target)
    there = next_ids(moved)
    database.initialize(populated.extensions["database"])
    here = next_ids(populated)

    assert there == here
    assert there[1] == len(SAMPLE_TEXTS) + 1


def test_a_database_without_rows_can_be_moved_too(app: Flask, make_app: Callable[..., Flask], target: str) -> None:
    assert move(app, target).exit_code == 0

    assert is_empty(target)
    assert add_dog(register(make_app(DATABASE_URL=target), "Anna"))["id"] == 1


def test_what_was_deleted_gives_no_id_back_even_where_all_rows_are_gone(
    app: Flask, anna: FlaskClient, make_app: Callable[..., Flask], target: str
) -> None:
    add_dog(anna)
    Dog.delete().execute()

    assert move(app, target).exit_code == 0

    moved = make_app(DATABASE_URL=target)
    assert add_dog(register(moved, "Bob"))["id"] == 2


def test_indexes_and_foreign_keys_are_as_they_were(app: Flask, anna: FlaskClient, target: str) -> None:
    with open_database(target) as other:
        migrations.upgrade(other)
        before = {model: sorted(other.get_indexes(model._meta.table_name)) for model in MODELS}

    assert move(app, target).exit_code == 0

    with open_database(target) as other:
        assert {model: sorted(other.get_indexes(model._meta.table_name)) for model in MODELS} == before
        dog = {"name": "a", "name_key": "a", "owner": "a", "owner_key": "a", "breed": "a", "breed_key": "a"}
        with pytest.raises(peewee.IntegrityError):
            Dog.insert(user=99, **dog).bind(other).execute()


def test_a_new_file_can_be_read_by_its_owner_alone(populated: Flask, tmp_path: Path) -> None:
    path = tmp_path / "new.sqlite"

    assert move(populated, f"sqlite:///{path}").exit_code == 0

    assert path.stat().st_mode & 0o777 == 0o600


def test_rows_that_come_meanwhile_are_all_in_or_not_at_all(app: Flask, anna: FlaskClient, target: str) -> None:
    user = User.get()
    Dog.insert_many(
        {"name": f"{n}", "name_key": "", "owner": "", "owner_key": "", "breed": "", "breed_key": "", "user": user}
        for n in range(2 * BATCH_SIZE)
    ).execute()
    first = Dog.select().count()
    ended, wrote = threading.Event(), threading.Event()

    def write() -> int:
        for number in count(1):
            with database.atomic():
                Dog.create_for(user, f"new {number}", "Poodle", "Anna")
                RateLimit.add("dogs", 1, 999)
            if number == 5:
                wrote.set()
            if ended.is_set():
                break
        database.close()
        return number

    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(write)
        wrote.wait(60)
        result = move(app, target)
        ended.set()
        written = writing.result()

    assert result.exit_code == 0, result.output
    rows = read_rows_at(target)
    (counter,) = (row for row in rows["rate_limits"] if row[0] == "dogs")
    assert 5 <= counter[1] == len(rows["dogs"]) - first < written


# --- What is refused ---


def test_a_database_that_holds_a_row_is_left_as_it_is(
    populated: Flask, make_app: Callable[..., Flask], target: str
) -> None:
    assert move(populated, target).exit_code == 0
    with open_database(target) as other:
        for model in MODELS:
            if model is not RateLimit:
                model.delete().bind(other).execute()
    before = read_rows_at(target)

    assert "not empty: rate_limits" in error_output(move(populated, target))
    assert read_rows_at(target) == before
    assert any(before.values())


def test_a_database_of_an_old_schema_with_rows_is_not_even_migrated(populated: Flask, target: str) -> None:
    assert move(populated, target).exit_code == 0
    with open_database(target) as other:
        migrations.runner(other).down()

    assert "not empty" in error_output(move(populated, target))

    with open_database(target) as other:
        assert [listed.applied is None for listed in migrations.status(other)][-1]


def test_a_source_that_is_not_up_to_date_is_refused_with_what_to_run(populated: Flask, target: str) -> None:
    migrations.runner(database.obj).down()

    assert "flask --app run db upgrade" in error_output(move(populated, target))
    assert is_empty(target)


@pytest.mark.parametrize("newer", ["source", "target"])
def test_a_schema_of_a_newer_version_is_refused_by_name(app: Flask, target: str, newer: str) -> None:
    with open_database(target) as other:
        migrations.upgrade(other)
        migrations.runner(database.obj if newer == "source" else other).History.create(name="9999_tomorrow")

    assert "9999_tomorrow" in error_output(move(app, target))


def test_the_same_database_is_refused_by_whatever_name(
    populated: Flask, settings: dict[str, Any], engine: str, tmp_path: Path
) -> None:
    before = read_rows(database.obj)
    names = [settings["DATABASE_URL"]]
    if engine == "sqlite":
        link = tmp_path / "link.sqlite"
        link.symlink_to(sqlite_file(names[0]))
        names += [f"sqlite:///{link}", f"sqlite:///{tmp_path}/../{tmp_path.name}/{sqlite_file(names[0]).name}"]
    else:
        names.append(names[0].replace("postgresql://", "postgres://") + "?application_name=other")

    for name in names:
        assert "same database" in error_output(move(populated, name))
    assert read_rows(database.obj) == before


def test_a_database_that_can_not_be_used_is_told_without_its_password(app: Flask, tmp_path: Path) -> None:
    (tmp_path / "text.sqlite").write_text("This is no database, and long enough to have a head of one. " * 9)
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


def test_a_source_that_is_not_there_is_told_and_not_made(
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


# --- What fails half way ---


def assert_undone(target: str) -> None:
    """Nothing is there, and the place is as good as new: its ids begin with 1, and its indexes are there."""
    assert is_empty(target)
    with open_database(target) as other:
        indexes = {index.name for index in other.get_indexes("dogs")}
        assert len(indexes - {INDEX, "dogs_pkey"}) == 5
        user = {"password_hash": "", "image": "", "image_width": 1, "image_height": 1}
        flags = {"image_has_double": False, "image_is_default": True, "created_at": utc_now()}
        row = User.insert(username="a", username_key="a", email="a", **user, **flags).bind(other)
        assert row.execute() == 1


def test_a_row_that_the_target_refuses_leaves_nothing_there(populated: Flask, target: str) -> None:
    with open_database(target) as other:
        migrations.upgrade(other)
        # The last table to be copied takes no row: the others have been copied by then.
        if isinstance(other, peewee.SqliteDatabase):
            other.execute_sql(
                "CREATE TRIGGER no BEFORE INSERT ON rate_limits BEGIN SELECT RAISE(ABORT, 'no more'); END"
            )
        else:
            other.execute_sql("ALTER TABLE rate_limits ADD CHECK (length(key) > 999)")

    assert "Copy failed, target unchanged" in error_output(move(populated, target))

    assert_undone(target)


def test_a_target_that_reads_back_something_else_is_left_empty(populated: Flask, target: str) -> None:
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

    assert "dogs reads back other rows" in error_output(move(populated, target))

    assert_undone(target)


def test_ctrl_c_leaves_nothing_there(populated: Flask, target: str) -> None:
    ours = threading.get_ident()

    def interrupt(statement: str) -> None:
        if "sequence" in statement:  # it looks for the last ids when all rows have been copied
            signal.pthread_kill(ours, signal.SIGINT)

    with trace_sql(populated, interrupt):
        result = move(populated, target)

    assert (result.exit_code, "Aborted!" in result.output) == (1, True)
    assert_undone(target)
