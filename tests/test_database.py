"""The database: how it is opened, what it keeps of a moment and a text, its schema's history, and its counters."""

from __future__ import annotations

import multiprocessing
import os
import random
import sqlite3
import threading
import time
import unicodedata
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import Any

import peewee
import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from playhouse.schema_diff import SchemaDiff, diff_models

from models import MODELS, Dog, RateLimit, User, close_connections, connect, database, migrations, search
from models.base import utc_now
from models.casefold import casefold_nfc
from models.db.connection import make_database

from .engines import BOTH_ENGINES, POSTGRESQL_ONLY, SQLITE_ONLY
from .factories import add_dog, api_error, register, run_concurrently, sqlite_file
from .live_server import free_port

pytestmark = BOTH_ENGINES

NAMES = sorted(path.stem for path in Path(migrations.__file__).parent.glob("[0-9]*.py"))
SETTINGS: dict[str, dict[str, Any]] = {
    # Write-ahead, FULL, on, and 10 seconds.
    "sqlite": {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 10_000},
    "postgresql": {
        "client_encoding": "UTF8",
        "default_transaction_isolation": "read committed",
        "statement_timeout": "10s",
        "idle_in_transaction_session_timeout": "1min",
    },
}


def settings_of_this_thread(engine: str) -> dict[str, Any]:
    if engine == "sqlite":
        return {name: database.pragma(name) for name in SETTINGS[engine]}
    return {name: database.execute_sql(f"SHOW {name}").fetchone()[0] for name in SETTINGS[engine]}


def backend() -> int:
    """The process of PostgreSQL that serves the connection that the next statement gets."""
    return database.execute_sql("SELECT pg_backend_pid()").fetchone()[0]


def idle_connections() -> int:
    return database.pool.get_stats()["pool_available"]


def waiting_threads() -> int:
    return database.pool.get_stats().get("requests_waiting", 0)


def tables() -> set[str]:
    return set(database.get_tables()) - {"sqlite_sequence"}


@pytest.fixture
def empty(new_database: Callable[..., str], make_app: Callable[..., Flask]) -> Flask:
    """An application whose database has no tables yet."""
    return make_app(DATABASE_URL=new_database())


# --- Connections ---


@SQLITE_ONLY
def test_every_thread_has_the_same_settings_on_a_connection_of_its_own(app: Flask) -> None:
    def look() -> tuple[sqlite3.Connection, dict[str, Any]]:
        assert app.test_client().get("/api/v1/dogs").status_code == 200
        return database.connection(), settings_of_this_thread("sqlite")

    looks = [look(), *run_concurrently(app, *[look] * 4)]

    assert [settings for _, settings in looks] == [SETTINGS["sqlite"]] * 5
    assert len({connection for connection, _ in looks}) == 5


@SQLITE_ONLY
def test_the_connection_stays_open_between_requests(app: Flask, anna: FlaskClient) -> None:
    connection = database.connection()

    dog = add_dog(anna)
    assert anna.get("/api/v1/dogs/0").status_code == 404
    assert anna.get(f"/api/v1/dogs/{dog['id']}").status_code == 200

    assert not database.is_closed()
    assert database.connection() is connection
    assert not database.in_transaction()


@POSTGRESQL_ONLY
def test_a_connection_serves_one_request_after_the_other_and_is_free_in_between(app: Flask, anna: FlaskClient) -> None:
    served_by = backend()

    dog = add_dog(anna)
    assert anna.get("/api/v1/dogs/0").status_code == 404
    assert anna.post("/user/register", json={}).status_code == 422
    assert anna.get(f"/api/v1/dogs/{dog['id']}").status_code == 200

    assert backend() == served_by
    assert (database.in_use, idle_connections()) == (0, 1)
    assert settings_of_this_thread("postgresql") == SETTINGS["postgresql"]


@POSTGRESQL_ONLY
def test_threads_share_the_connections_and_wait_for_one(make_app: Callable[..., Flask]) -> None:
    app = make_app(DATABASE_POOL_SIZE=2)
    register(app, "Anna")

    answers = run_concurrently(app, *[lambda: app.test_client().get("/api/v1/dogs").status_code] * 30)

    assert answers == [200] * 30
    assert database.in_use == 0
    assert 1 <= idle_connections() <= 2


@POSTGRESQL_ONLY
def test_ninety_requests_at_one_moment_wait_for_the_only_connection(make_app: Callable[..., Flask]) -> None:
    app = make_app(DATABASE_POOL_SIZE=1)

    with ThreadPoolExecutor(90) as clients:
        with database.atomic():
            asked = [clients.submit(lambda: app.test_client().get("/api/v1/dogs")) for _ in range(90)]
            while waiting_threads() < 90:
                assert not wait(asked, 0.01, FIRST_COMPLETED).done
        answers = [request.result().status_code for request in asked]

    assert answers == [200] * 90


@POSTGRESQL_ONLY
def test_who_finds_no_connection_in_time_gets_503_and_the_next_is_served(
    make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app(DATABASE_POOL_SIZE=1)
    monkeypatch.setattr("models.db.postgres.TIMEOUT_SECONDS", 0.1)

    with database.atomic():
        (refused,) = run_concurrently(app, lambda: app.test_client().get("/api/v1/dogs"))

    assert api_error(refused) == (503, "unavailable")
    assert int(refused.headers["Retry-After"]) > 0
    assert app.test_client().get("/api/v1/dogs").status_code == 200


@POSTGRESQL_ONLY
def test_only_so_many_threads_wait_for_a_connection(
    make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.db.postgres.MAX_WAITERS", 2)
    monkeypatch.setattr("models.db.postgres.TIMEOUT_SECONDS", 60)
    app = make_app(DATABASE_POOL_SIZE=1)

    with ThreadPoolExecutor(1) as other:
        with database.atomic():
            waiting = other.submit(lambda: app.test_client().get("/api/v1/dogs"))
            while not waiting_threads():
                assert not wait([waiting], 0.01).done
            (refused,) = run_concurrently(app, lambda: app.test_client().get("/api/v1/dogs"))  # not after the timeout
            assert not waiting.done()
        assert waiting.result().status_code == 200

    assert api_error(refused) == (503, "unavailable")
    assert app.test_client().get("/api/v1/dogs").status_code == 200


def use_connections_at_once(app: Flask, count: int) -> set[int]:
    """Hold this many connections at once, return them to the pool, and return their server processes."""
    together = Barrier(count)

    def hold() -> int:
        with database.atomic():
            together.wait(30)
            return backend()

    return set(run_concurrently(app, *[hold] * count))


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for something that happens in a thread of the pool or in the server."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@POSTGRESQL_ONLY
def test_idle_connections_are_closed_after_a_while(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.db.postgres.MAX_IDLE_SECONDS", 0.05)
    opened = use_connections_at_once(app, 3)

    with psycopg.connect(app.config["DATABASE_URL"], autocommit=True) as other:
        alive = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(%s)"
        wait_until(lambda: other.execute(alive, [list(opened)]).fetchone() == (0,))

    assert len(opened) == 3
    assert idle_connections() == 0
    assert backend() not in opened


@POSTGRESQL_ONLY
def test_a_connection_past_its_lifetime_is_replaced(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.db.postgres.MAX_LIFETIME_SECONDS", 0)

    used = [backend() for _ in range(3)]

    assert len(set(used)) == 3
    with psycopg.connect(app.config["DATABASE_URL"], autocommit=True) as other:
        alive = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(%s)"
        wait_until(lambda: other.execute(alive, [used]).fetchone() == (0,))


@POSTGRESQL_ONLY
def test_the_connection_used_last_is_used_next(app: Flask) -> None:
    opened = use_connections_at_once(app, 3)

    used = {backend() for _ in range(6)}

    assert len(opened) == 3
    assert len(used) == 1
    assert used <= opened


@POSTGRESQL_ONLY
def test_closing_the_connections_stops_the_threads_of_the_pool(app: Flask) -> None:
    before = set(threading.enumerate())
    first = backend()
    assert len(set(threading.enumerate()) - before) == 2

    close_connections()

    assert set(threading.enumerate()) <= before
    assert backend() != first


@POSTGRESQL_ONLY
def test_a_connection_in_use_survives_close_idle(app: Flask) -> None:
    with database.atomic():
        ours = backend()
        database.close_idle()
        assert backend() == ours

    assert backend() != ours


@POSTGRESQL_ONLY
def test_a_failed_connection_attempt_raises_its_cause_at_once(app: Flask) -> None:
    unreachable = make_database(f"postgresql://kennel@127.0.0.1:{free_port()}/dogs", pool_size=1)

    for _ in range(3):
        with pytest.raises(peewee.OperationalError, match=r"(?i)connection refused"):
            unreachable.execute_sql("SELECT 1")

    assert unreachable.in_use == 0
    close_connections(unreachable)


@POSTGRESQL_ONLY
def test_a_connection_that_the_server_has_ended_is_replaced_without_an_error(app: Flask, anna: FlaskClient) -> None:
    ended = backend()
    with psycopg.connect(app.config["DATABASE_URL"], autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 10000)", [ended])

    assert add_dog(anna)["name"] == "Rex"
    assert backend() != ended


@POSTGRESQL_ONLY
def test_a_process_never_uses_the_connections_of_its_parent(app: Flask) -> None:
    ours = backend()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, str(backend()).encode())
        os._exit(0)
    os.waitpid(child, 0)

    assert int(os.read(reading, 100)) != ours
    assert backend() == ours


@SQLITE_ONLY
def test_a_transaction_has_the_write_lock_from_its_start_and_readers_read_on(app: Flask, anna: FlaskClient) -> None:
    dog = add_dog(anna)
    path = app.config["DATABASE_URL"].removeprefix("sqlite:///")
    other = sqlite3.connect(path, timeout=0, isolation_level=None)

    with database.atomic():
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        assert other.execute("SELECT name FROM dogs").fetchall() == [("Rex",)]
        assert run_concurrently(app, lambda: app.test_client().get(f"/api/v1/dogs/{dog['id']}"))[0].json["data"] == dog
    other.execute("BEGIN IMMEDIATE")
    other.close()


@SQLITE_ONLY
@pytest.mark.parametrize("in_transaction", [True, False], ids=["in a transaction", "on its own"])
def test_a_write_that_fails_lets_other_threads_write(app: Flask, anna: FlaskClient, in_transaction: bool) -> None:
    dog = {"name": "Rex", "name_key": "rex", "owner": "A", "owner_key": "a", "breed": "B", "breed_key": "b", "user": 7}

    with pytest.raises(peewee.IntegrityError), database.atomic() if in_transaction else nullcontext():
        Dog.create(**dog)

    assert run_concurrently(app, lambda: Dog.create(**{**dog, "user": 1}).id) == [1]


@SQLITE_ONLY
def test_who_waits_too_long_for_the_write_of_another_thread_is_told_so(app: Flask, anna: FlaskClient) -> None:
    dog = add_dog(anna)
    database.obj.timeout = 0.01

    with database.atomic(), pytest.raises(peewee.OperationalError, match="database is locked"):
        run_concurrently(app, Dog.delete().where(Dog.id == dog["id"]).execute)

    assert Dog.delete().where(Dog.id == dog["id"]).execute() == 1


@SQLITE_ONLY
def test_a_write_that_returns_rows_is_over_whether_they_are_read_or_not(app: Flask, anna: FlaskClient) -> None:
    add_dog(anna), add_dog(anna)
    other = sqlite3.connect(app.config["DATABASE_URL"].removeprefix("sqlite:///"), timeout=0, isolation_level=None)
    renamed = "UPDATE dogs SET name = 'Max' RETURNING id"

    unread = database.execute_sql(renamed)
    other.execute("BEGIN IMMEDIATE")
    other.execute("COMMIT")
    other.close()

    assert unread.fetchone() == (1,)
    assert unread.fetchall() == [(2,)]
    assert unread.fetchone() is None
    assert list(database.execute_sql(renamed)) == [(1,), (2,)]


def test_foreign_keys_are_enforced(app: Flask) -> None:
    with pytest.raises(peewee.IntegrityError):
        Dog.create(name="Rex", name_key="rex", owner="A", owner_key="a", breed="B", breed_key="b", user=7)


@SQLITE_ONLY
def test_each_test_gets_a_copy_of_one_whole_file(settings: dict[str, Any], golden: str) -> None:
    path, original = sqlite_file(settings["DATABASE_URL"]), sqlite_file(golden)

    assert path != original
    assert path.read_bytes() == original.read_bytes()
    assert not original.with_name(original.name + "-wal").exists()  # it would hold a part of the rows
    copy = connect(settings["DATABASE_URL"])
    assert migrations.upgrade(copy) == []
    copy.close()


# --- Moments and texts ---


MOMENTS = [
    (datetime(2024, 2, 29, 12, 0, tzinfo=UTC), "2024-02-29 12:00:00.000000"),
    (datetime(2024, 2, 29, 12, 0, 0, 1, tzinfo=UTC), "2024-02-29 12:00:00.000001"),
    (datetime(2024, 3, 1, 0, 30, tzinfo=timezone(timedelta(hours=5, minutes=30))), "2024-02-29 19:00:00.000000"),
    (datetime(2023, 12, 31, 23, 0, tzinfo=timezone(timedelta(hours=-8))), "2024-01-01 07:00:00.000000"),
]


@pytest.mark.parametrize(("moment", "kept"), MOMENTS, ids=str)
def test_a_moment_is_kept_in_utc_at_a_fixed_length_and_comes_back(
    anna: FlaskClient, engine: str, moment: datetime, kept: str
) -> None:
    dog = add_dog(anna)
    Dog.update(created_at=moment).execute()

    ((stored,),) = database.execute_sql("SELECT created_at FROM dogs").fetchall()
    assert stored == (datetime.fromisoformat(kept) if engine == "postgresql" else kept)
    assert Dog.get().created_at == moment
    assert Dog.get().created_at.tzinfo == UTC
    sent = anna.get(f"/api/v1/dogs/{dog['id']}").json["data"]["created_at"]
    assert datetime.fromisoformat(sent) == moment


def test_the_order_of_kept_moments_is_the_order_of_time(app: Flask, engine: str) -> None:
    chance = random.Random(5)
    start = datetime(2024, 10, 27, tzinfo=UTC)
    moments = [
        start + timedelta(microseconds=chance.choice([1, 10**3, 10**6]) * chance.randrange(9)) for _ in range(99)
    ]
    zones = [timezone(timedelta(minutes=chance.randrange(-720, 720))) for _ in moments]
    RateLimit.insert_many(
        {"key": str(number), "count": 1, "expires_at": moment.astimezone(zone)}
        for number, (moment, zone) in enumerate(zip(moments, zones, strict=True))
    ).execute()

    if engine == "sqlite":
        kept = database.execute_sql("SELECT expires_at FROM rate_limits").fetchall()
        assert {len(text) for (text,) in kept} == {26}
    assert [counter.expires_at for counter in RateLimit.select().order_by(RateLimit.expires_at)] == sorted(moments)
    for moment in moments:
        earlier = RateLimit.select().where(RateLimit.expires_at < moment).count()
        assert earlier == sum(other < moment for other in moments)


def test_now_is_utc() -> None:
    assert datetime.now(UTC) - timedelta(seconds=60) < utc_now() <= datetime.now(UTC)
    assert utc_now().tzinfo == UTC


def test_every_character_and_its_other_cases_fold_to_one() -> None:
    # The dotless i, whose upper case is the I of every language, has no other case of its own.
    characters = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000 and code != ord("ı")]
    spellings = (str.upper, str.lower, str.title, str.casefold, casefold_nfc, partial(unicodedata.normalize, "NFD"))

    spelled = ((text, spell(text)) for text in characters for spell in spellings)
    differing = [
        (ascii(text), ascii(other))
        for text, other in spelled
        if text != other and casefold_nfc(text) != casefold_nfc(other)
    ]

    assert differing == []


@pytest.mark.parametrize(
    ("one", "other"), [("Rex", "Réx"), ("a", "ａ"), ("A", "А"), ("Rex", "Re x"), ("1", "¹"), ("i", "ı")], ids=ascii
)
def test_texts_that_differ_in_more_than_case_stay_apart(one: str, other: str) -> None:
    assert casefold_nfc(one) != casefold_nfc(other)


# --- The schema and its history ---


def differences(opened: peewee.Database) -> SchemaDiff:
    """What the models know and the database does not have, and the other way round; but for the index of the search."""
    found = diff_models(opened, MODELS)
    return found._replace(drop_indexes=[index for index in found.drop_indexes if index.name != search.INDEX])


def test_models_and_migrations_agree(app: Flask, engine: str, new_database: Callable[..., str]) -> None:
    def schema(database: peewee.Database, table: str) -> dict[str, Any]:
        if engine == "postgresql":
            indexes = {(index.name, tuple(index.columns), index.unique) for index in database.get_indexes(table)}
            indexes -= {(search.INDEX, ("name_key", "owner_key", "breed_key"), False)}
            return {
                "columns": database.get_columns(table),
                "indexes": indexes,
                "keys": database.get_foreign_keys(table),
            }
        columns = database.execute_sql(f'PRAGMA table_info("{table}")').fetchall()
        indexes = database.get_indexes(table)
        return {
            "columns": {name: (kind, not_null, default, key) for _, name, kind, not_null, default, key in columns},
            "indexes": {(index.name, tuple(index.columns), index.unique) for index in indexes},
            "foreign keys": sorted(row[2:] for row in database.execute_sql(f'PRAGMA foreign_key_list("{table}")')),
        }

    migrated = {model: schema(database, model._meta.table_name) for model in MODELS}
    assert not differences(database.obj)
    declared = make_database(new_database())
    with declared.bind_ctx(MODELS), declared.connection_context():
        declared.create_tables(MODELS)
        expected = {model: schema(declared, model._meta.table_name) for model in MODELS}
    close_connections(declared)

    assert migrated == expected
    assert {table for table in tables() if not table.startswith(search.INDEX)} == {
        *(model._meta.table_name for model in MODELS),
        "schema_migration",
    }


@SQLITE_ONLY
def test_no_table_ever_gives_an_id_twice(app: Flask) -> None:
    rows = database.execute_sql("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
    counted = {name for name, sql in rows if "AUTOINCREMENT" in sql}

    assert counted == {model._meta.table_name for model in MODELS if "id" in model._meta.fields}


def test_no_column_of_ours_may_be_null(app: Flask) -> None:
    nullable = [
        (model._meta.table_name, column.name)
        for model in MODELS
        for column in database.get_columns(model._meta.table_name)
        if column.null
    ]

    assert nullable == []


def test_upgrade_applies_each_migration_once(empty: Flask) -> None:
    assert [(listed.name, listed.applied) for listed in migrations.status(database.obj)] == [
        (name, None) for name in NAMES
    ]

    assert migrations.upgrade(database.obj) == NAMES
    register(empty, "Anna")
    assert migrations.upgrade(database.obj) == []

    assert all(listed.applied for listed in migrations.status(database.obj))
    assert User.select().count() == 1


def test_upgrade_leaves_the_settings_of_the_connection_as_they_were(empty: Flask, engine: str) -> None:
    migrations.upgrade(database.obj)

    assert settings_of_this_thread(engine) == SETTINGS[engine]
    assert run_concurrently(empty, lambda: settings_of_this_thread(engine)) == [SETTINGS[engine]]


def test_upgrade_that_fails_changes_nothing(
    app: Flask, anna: FlaskClient, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_dog(anna)
    before = tables()

    def down_and_out(_: migrations.Runner) -> list[str]:
        migrations.runner(database.obj).down()
        raise peewee.OperationalError("the disk is full")

    monkeypatch.setattr(migrations.Runner, "up", down_and_out)
    with pytest.raises(peewee.OperationalError, match="the disk is full"):
        migrations.upgrade(database.obj)

    assert tables() == before
    assert Dog.select().count() == 1
    assert settings_of_this_thread(engine) == SETTINGS[engine]


@SQLITE_ONLY  # which can't keep them by itself while a table is made anew
def test_upgrade_refuses_to_leave_rows_without_the_rows_they_name(
    app: Flask, anna: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_dog(anna)

    def forget_users(_: migrations.Runner) -> list[str]:
        User.delete().execute()
        return ["0002_forget_users"]

    monkeypatch.setattr(migrations.Runner, "up", forget_users)
    with pytest.raises(peewee.IntegrityError, match="foreign keys"):
        migrations.upgrade(database.obj)

    assert User.select().count() == 1


def test_down_takes_back_what_up_made(app: Flask, anna: FlaskClient) -> None:
    add_dog(anna)

    undone = [name for _ in NAMES for name in migrations.runner(database.obj).down()]

    assert undone == NAMES[::-1]
    assert tables() == {"schema_migration"}
    assert migrations.upgrade(database.obj) == NAMES
    assert not differences(database.obj)


def upgrade_all(urls: list[str], gate: Any, answers: Any) -> None:
    """What a process of the test below does: upgrade each database, all processes at the same moment."""
    for url in urls:
        opened = connect(url)
        gate.wait()
        try:
            answers.put(migrations.upgrade(opened))
        except Exception as error:
            answers.put(repr(error))
        finally:
            close_connections()


@pytest.mark.system
def test_upgrades_at_once_are_safe(new_database: Callable[..., str], engine: str) -> None:
    rounds, processes = 60 if engine == "sqlite" else 10, 4
    urls = [new_database() for _ in range(rounds)]
    start = multiprocessing.get_context("spawn")  # a process of its own, as a second server is
    gate, answers = start.Barrier(processes), start.Queue()
    workers = [start.Process(target=upgrade_all, args=(urls, gate, answers)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    given = [answers.get(timeout=60) for _ in range(rounds * processes)]
    for worker in workers:
        worker.join()

    # In each round one applies them all, and the others wait and find nothing left to do.
    assert sorted(given, key=str) == sorted([NAMES] * rounds + [[]] * rounds * (processes - 1), key=str)
    for url in urls:
        opened = connect(url)
        assert not differences(opened)
        close_connections()


# --- Counters ---


def test_no_count_is_lost_among_threads(app: Flask) -> None:
    def count() -> list[int]:
        return [RateLimit.add("login", 1, 60) for _ in range(20)]

    counts = [number for thread in run_concurrently(app, *[count] * 8) for number in thread]

    assert sorted(counts) == list(range(1, 161))
    assert RateLimit.current("login").count == 160


def test_counts_of_other_keys_and_amounts_stand_apart(app: Flask) -> None:
    assert [RateLimit.add("a", 1, 60), RateLimit.add("b", 5, 60), RateLimit.add("a", 2, 60)] == [
        1,
        5,
        3,
    ]


def test_a_window_lasts_from_its_first_count(app: Flask) -> None:
    before = utc_now()
    RateLimit.add("a", 1, 60)
    after = utc_now()
    RateLimit.add("a", 1, 9000)

    assert before + timedelta(seconds=60) <= RateLimit.current("a").expires_at <= after + timedelta(seconds=60)


def test_expired_counters_go_and_begin_anew(app: Flask) -> None:
    for key in ("a", "b", "c"):
        RateLimit.add(key, 3, 60)
    RateLimit.update(expires_at=utc_now()).where(RateLimit.key != "c").execute()

    assert RateLimit.current("a") is None
    assert RateLimit.add("a", 1, 60) == 1
    assert {counter.key for counter in RateLimit.select()} == {"a", "c"}
    assert RateLimit.add("c", 1, 60) == 4


def test_forget_forgets_one_or_all(app: Flask) -> None:
    for key in ("a", "b", "c"):
        RateLimit.add(key, 1, 60)

    assert (
        RateLimit.delete_counters("a"),
        RateLimit.delete_counters("a"),
        RateLimit.delete_counters(),
    ) == (1, 0, 2)
    assert RateLimit.select().count() == 0


def test_a_new_database_can_be_read_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "dogs.sqlite"
    made = connect(f"sqlite:///{path}")
    migrations.upgrade(made)
    User.select().count()

    assert {file.name: file.stat().st_mode & 0o077 for file in tmp_path.glob("dogs.sqlite*")} == {
        "dogs.sqlite": 0,
        "dogs.sqlite-shm": 0,
        "dogs.sqlite-wal": 0,
    }
    made.close()
