"""The database layer: connections, transactions, timestamps, case folding, migrations and rate-limit counters."""

from __future__ import annotations

import multiprocessing
import os
import random
import sqlite3
import threading
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

from models import MODELS, Dog, RateLimit, User, close_connections, connect, database, migrations
from models.base import utc_now
from models.casefold import casefold_nfc
from models.db.connection import make_database
from models.search_queries import INDEX

from .engines import BOTH_ENGINES, POSTGRESQL_ONLY, SQLITE_ONLY
from .factories import add_dog, api_error, assigned_characters, register, run_concurrently, sqlite_file
from .live_server import free_port, wait_until

pytestmark = BOTH_ENGINES

MIGRATIONS = sorted(path.stem for path in Path(migrations.__file__).parent.glob("[0-9]*.py"))
CONNECTION_SETTINGS: dict[str, dict[str, Any]] = {
    # `synchronous` 2 is FULL; `busy_timeout` is in milliseconds.
    "sqlite": {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 10_000},
    "postgresql": {
        "client_encoding": "UTF8",
        "default_transaction_isolation": "read committed",
        "statement_timeout": "10s",
        "idle_in_transaction_session_timeout": "1min",
    },
}


def read_connection_settings(engine: str) -> dict[str, Any]:
    if engine == "sqlite":
        return {name: database.pragma(name) for name in CONNECTION_SETTINGS[engine]}
    return {name: database.execute_sql(f"SHOW {name}").fetchone()[0] for name in CONNECTION_SETTINGS[engine]}


def get_backend_pid() -> int:
    """Return the PID of the PostgreSQL backend that serves the next statement."""
    return database.execute_sql("SELECT pg_backend_pid()").fetchone()[0]


def count_idle_connections() -> int:
    return database.pool.get_stats()["pool_available"]


def count_waiting_threads() -> int:
    return database.pool.get_stats().get("requests_waiting", 0)


def list_tables() -> set[str]:
    return set(database.get_tables()) - {"sqlite_sequence"}


@pytest.fixture
def empty_app(new_database: Callable[..., str], make_app: Callable[..., Flask]) -> Flask:
    """An application whose database has no tables yet."""
    return make_app(DATABASE_URL=new_database())


# --- Connections ---


@SQLITE_ONLY
def test_each_thread_has_own_connection_with_same_settings(app: Flask) -> None:
    def inspect_connection() -> tuple[sqlite3.Connection, dict[str, Any]]:
        assert app.test_client().get("/api/v1/dogs").status_code == 200
        return database.connection(), read_connection_settings("sqlite")

    threads = [inspect_connection(), *run_concurrently(app, *[inspect_connection] * 4)]

    assert [settings for _, settings in threads] == [CONNECTION_SETTINGS["sqlite"]] * 5
    assert len({connection for connection, _ in threads}) == 5


@SQLITE_ONLY
def test_connection_stays_open_between_requests(app: Flask, anna: FlaskClient) -> None:
    connection = database.connection()

    dog = add_dog(anna)
    assert anna.get("/api/v1/dogs/0").status_code == 404
    assert anna.get(f"/api/v1/dogs/{dog['id']}").status_code == 200

    assert not database.is_closed()
    assert database.connection() is connection
    assert not database.in_transaction()


@POSTGRESQL_ONLY
def test_connection_is_released_between_requests(app: Flask, anna: FlaskClient) -> None:
    pid = get_backend_pid()

    dog = add_dog(anna)
    assert anna.get("/api/v1/dogs/0").status_code == 404
    assert anna.post("/user/register", json={}).status_code == 422
    assert anna.get(f"/api/v1/dogs/{dog['id']}").status_code == 200

    assert get_backend_pid() == pid
    assert (database.in_use, count_idle_connections()) == (0, 1)
    assert read_connection_settings("postgresql") == CONNECTION_SETTINGS["postgresql"]


@POSTGRESQL_ONLY
def test_threads_share_pool(make_app: Callable[..., Flask]) -> None:
    app = make_app(DATABASE_POOL_SIZE=2)
    register(app, "Anna")

    statuses = run_concurrently(app, *[lambda: app.test_client().get("/api/v1/dogs").status_code] * 30)

    assert statuses == [200] * 30
    assert database.in_use == 0
    assert 1 <= count_idle_connections() <= 2


@POSTGRESQL_ONLY
def test_90_concurrent_requests_wait_for_one_connection(make_app: Callable[..., Flask]) -> None:
    app = make_app(DATABASE_POOL_SIZE=1)

    with ThreadPoolExecutor(90) as clients:
        with database.atomic():
            requests = [clients.submit(lambda: app.test_client().get("/api/v1/dogs")) for _ in range(90)]
            while count_waiting_threads() < 90:
                assert not wait(requests, 0.01, FIRST_COMPLETED).done
        statuses = [request.result().status_code for request in requests]

    assert statuses == [200] * 90


@POSTGRESQL_ONLY
def test_pool_timeout_returns_503_and_recovers(make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app(DATABASE_POOL_SIZE=1)
    monkeypatch.setattr("models.db.postgres.TIMEOUT_SECONDS", 0.1)

    with database.atomic():
        (rejected,) = run_concurrently(app, lambda: app.test_client().get("/api/v1/dogs"))

    assert api_error(rejected) == (503, "unavailable")
    assert int(rejected.headers["Retry-After"]) > 0
    assert app.test_client().get("/api/v1/dogs").status_code == 200


@POSTGRESQL_ONLY
def test_request_beyond_pool_waiters_returns_503(
    make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.db.postgres.MAX_WAITERS", 2)
    monkeypatch.setattr("models.db.postgres.TIMEOUT_SECONDS", 60)
    app = make_app(DATABASE_POOL_SIZE=1)

    with ThreadPoolExecutor(1) as other:
        with database.atomic():
            waiting = other.submit(lambda: app.test_client().get("/api/v1/dogs"))
            while not count_waiting_threads():
                assert not wait([waiting], 0.01).done
            (rejected,) = run_concurrently(app, lambda: app.test_client().get("/api/v1/dogs"))  # not after the timeout
            assert not waiting.done()
        assert waiting.result().status_code == 200

    assert api_error(rejected) == (503, "unavailable")
    assert app.test_client().get("/api/v1/dogs").status_code == 200


def use_connections_concurrently(app: Flask, count: int) -> set[int]:
    """Hold this many connections concurrently, release them to the pool, and return their backend PIDs."""
    barrier = Barrier(count)

    def hold() -> int:
        with database.atomic():
            barrier.wait(30)
            return get_backend_pid()

    return set(run_concurrently(app, *[hold] * count))


@POSTGRESQL_ONLY
def test_idle_connections_are_closed(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.db.postgres.MAX_IDLE_SECONDS", 0.05)
    opened = use_connections_concurrently(app, 3)

    with psycopg.connect(app.config["DATABASE_URL"], autocommit=True) as other:
        alive = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(%s)"
        wait_until(lambda: other.execute(alive, [list(opened)]).fetchone() == (0,), "closed connection")

    assert len(opened) == 3
    assert count_idle_connections() == 0
    assert get_backend_pid() not in opened


@POSTGRESQL_ONLY
def test_connection_past_lifetime_is_replaced(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.db.postgres.MAX_LIFETIME_SECONDS", 0)

    used = [get_backend_pid() for _ in range(3)]

    assert len(set(used)) == 3
    with psycopg.connect(app.config["DATABASE_URL"], autocommit=True) as other:
        alive = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(%s)"
        wait_until(lambda: other.execute(alive, [used]).fetchone() == (0,), "closed connection")


@POSTGRESQL_ONLY
def test_pool_reuses_last_used_connection(app: Flask) -> None:
    opened = use_connections_concurrently(app, 3)

    used = {get_backend_pid() for _ in range(6)}

    assert len(opened) == 3
    assert len(used) == 1
    assert used <= opened


@POSTGRESQL_ONLY
def test_failed_connection_attempt_leaves_idle_ones_in_use(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    served_by = get_backend_pid()
    with database.atomic():
        monkeypatch.setitem(database.connect_params, "host", "no.such.host.invalid")
        (failed,) = run_concurrently(app, lambda: app.test_client().get("/api/v1/dogs"))

    assert api_error(failed) == (503, "unavailable")
    assert [get_backend_pid() for _ in range(3)] == [served_by] * 3


@POSTGRESQL_ONLY
def test_close_connections_stops_pool_threads(app: Flask) -> None:
    before = set(threading.enumerate())
    first = get_backend_pid()
    assert len(set(threading.enumerate()) - before) == 2

    close_connections()

    assert set(threading.enumerate()) <= before
    assert get_backend_pid() != first


@POSTGRESQL_ONLY
def test_close_idle_spares_connection_in_use(app: Flask) -> None:
    with database.atomic():
        pid = get_backend_pid()
        database.close_idle()
        assert get_backend_pid() == pid

    assert get_backend_pid() != pid


@POSTGRESQL_ONLY
def test_failed_connection_raises_its_cause_immediately(app: Flask) -> None:
    unreachable = make_database(f"postgresql://kennel@127.0.0.1:{free_port()}/dogs", pool_size=1)

    for _ in range(3):
        with pytest.raises(peewee.OperationalError, match=r"(?i)connection refused"):
            unreachable.execute_sql("SELECT 1")

    assert unreachable.in_use == 0
    close_connections(unreachable)


@POSTGRESQL_ONLY
def test_terminated_connection_is_replaced(app: Flask, anna: FlaskClient) -> None:
    terminated_pid = get_backend_pid()
    with psycopg.connect(app.config["DATABASE_URL"], autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 10000)", [terminated_pid])

    assert add_dog(anna)["name"] == "Rex"
    assert get_backend_pid() != terminated_pid


@POSTGRESQL_ONLY
def test_forked_process_opens_own_connection(app: Flask) -> None:
    parent_pid = get_backend_pid()
    read_end, write_end = os.pipe()
    child = os.fork()
    if not child:
        os.write(write_end, str(get_backend_pid()).encode())
        os._exit(0)
    os.waitpid(child, 0)

    assert int(os.read(read_end, 100)) != parent_pid
    assert get_backend_pid() == parent_pid


@SQLITE_ONLY
def test_transaction_locks_writes_but_not_reads(app: Flask, anna: FlaskClient) -> None:
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
@pytest.mark.parametrize("in_transaction", [True, False], ids=["transaction", "autocommit"])
def test_failed_write_releases_write_lock(app: Flask, anna: FlaskClient, in_transaction: bool) -> None:
    dog = {"name": "Rex", "name_key": "rex", "owner": "A", "owner_key": "a", "breed": "B", "breed_key": "b", "user": 7}

    with pytest.raises(peewee.IntegrityError), database.atomic() if in_transaction else nullcontext():
        Dog.create(**dog)

    assert run_concurrently(app, lambda: Dog.create(**{**dog, "user": 1}).id) == [1]


@SQLITE_ONLY
def test_write_lock_timeout_raises_operational_error(app: Flask, anna: FlaskClient) -> None:
    dog = add_dog(anna)
    database.obj.timeout = 0.01

    with database.atomic(), pytest.raises(peewee.OperationalError, match="database is locked"):
        run_concurrently(app, Dog.delete().where(Dog.id == dog["id"]).execute)

    assert Dog.delete().where(Dog.id == dog["id"]).execute() == 1


@SQLITE_ONLY
def test_returning_write_commits_before_rows_are_fetched(app: Flask, anna: FlaskClient) -> None:
    add_dog(anna), add_dog(anna)
    other = sqlite3.connect(app.config["DATABASE_URL"].removeprefix("sqlite:///"), timeout=0, isolation_level=None)
    update = "UPDATE dogs SET name = 'Max' RETURNING id"

    cursor = database.execute_sql(update)
    other.execute("BEGIN IMMEDIATE")
    other.execute("COMMIT")
    other.close()

    assert cursor.fetchone() == (1,)
    assert cursor.fetchall() == [(2,)]
    assert cursor.fetchone() is None
    assert list(database.execute_sql(update)) == [(1,), (2,)]


def test_foreign_keys_are_enforced(app: Flask) -> None:
    with pytest.raises(peewee.IntegrityError):
        Dog.create(name="Rex", name_key="rex", owner="A", owner_key="a", breed="B", breed_key="b", user=7)


@SQLITE_ONLY
def test_golden_copy_is_complete(settings: dict[str, Any], golden_sqlite: str) -> None:
    path, original = sqlite_file(settings["DATABASE_URL"]), sqlite_file(golden_sqlite)

    assert path != original
    assert path.read_bytes() == original.read_bytes()
    assert not original.with_name(original.name + "-wal").exists()  # it would contain some of the rows
    copy = connect(settings["DATABASE_URL"])
    assert migrations.upgrade(copy) == []
    copy.close()


# --- Timestamps and case folding ---


TIMESTAMPS = [
    (datetime(2024, 2, 29, 12, 0, tzinfo=UTC), "2024-02-29 12:00:00.000000"),
    (datetime(2024, 2, 29, 12, 0, 0, 1, tzinfo=UTC), "2024-02-29 12:00:00.000001"),
    (datetime(2024, 3, 1, 0, 30, tzinfo=timezone(timedelta(hours=5, minutes=30))), "2024-02-29 19:00:00.000000"),
    (datetime(2023, 12, 31, 23, 0, tzinfo=timezone(timedelta(hours=-8))), "2024-01-01 07:00:00.000000"),
]


@pytest.mark.parametrize(("timestamp", "utc_text"), TIMESTAMPS, ids=str)
def test_timestamp_round_trips_as_fixed_length_utc(
    anna: FlaskClient, engine: str, timestamp: datetime, utc_text: str
) -> None:
    dog = add_dog(anna)
    Dog.update(created_at=timestamp).execute()

    ((stored,),) = database.execute_sql("SELECT created_at FROM dogs").fetchall()
    assert stored == (datetime.fromisoformat(utc_text) if engine == "postgresql" else utc_text)
    assert Dog.get().created_at == timestamp
    assert Dog.get().created_at.tzinfo == UTC
    sent = anna.get(f"/api/v1/dogs/{dog['id']}").json["data"]["created_at"]
    assert datetime.fromisoformat(sent) == timestamp


def test_stored_timestamps_sort_chronologically(app: Flask, engine: str) -> None:
    rng = random.Random(5)
    start = datetime(2024, 10, 27, tzinfo=UTC)
    timestamps = [start + timedelta(microseconds=rng.choice([1, 10**3, 10**6]) * rng.randrange(9)) for _ in range(99)]
    zones = [timezone(timedelta(minutes=rng.randrange(-720, 720))) for _ in timestamps]
    RateLimit.insert_many(
        {"key": str(number), "count": 1, "expires_at": timestamp.astimezone(zone)}
        for number, (timestamp, zone) in enumerate(zip(timestamps, zones, strict=True))
    ).execute()

    if engine == "sqlite":
        stored = database.execute_sql("SELECT expires_at FROM rate_limits").fetchall()
        assert {len(text) for (text,) in stored} == {26}
    assert [counter.expires_at for counter in RateLimit.select().order_by(RateLimit.expires_at)] == sorted(timestamps)
    for timestamp in timestamps:
        earlier = RateLimit.select().where(RateLimit.expires_at < timestamp).count()
        assert earlier == sum(other < timestamp for other in timestamps)


def test_utc_now_is_aware_and_current() -> None:
    assert datetime.now(UTC) - timedelta(seconds=60) < utc_now() <= datetime.now(UTC)
    assert utc_now().tzinfo == UTC


@pytest.mark.no_cover
def test_casefold_is_equal_for_all_cases_of_every_character() -> None:
    # The dotless i is left out: its upper case is I, whose lower case is i.
    characters = [text for text in assigned_characters() if text != "ı"]
    transforms = (str.upper, str.lower, str.title, str.casefold, casefold_nfc, partial(unicodedata.normalize, "NFD"))

    pairs = ((text, transform(text)) for text in characters for transform in transforms)
    mismatches = [
        (ascii(text), ascii(other))
        for text, other in pairs
        if text != other and casefold_nfc(text) != casefold_nfc(other)
    ]

    assert mismatches == []


@pytest.mark.parametrize(
    ("one", "other"), [("Rex", "Réx"), ("a", "ａ"), ("A", "А"), ("Rex", "Re x"), ("1", "¹"), ("i", "ı")], ids=ascii
)
def test_casefold_keeps_accents_and_widths_distinct(one: str, other: str) -> None:
    assert casefold_nfc(one) != casefold_nfc(other)


# --- Schema and migrations ---


def diff_schema(opened: peewee.Database) -> SchemaDiff:
    """Return the differences between models and database, other than the search index."""
    diff = diff_models(opened, MODELS)
    return diff._replace(drop_indexes=[index for index in diff.drop_indexes if index.name != INDEX])


def test_migrations_match_models(app: Flask, engine: str, new_database: Callable[..., str]) -> None:
    def read_schema(database: peewee.Database, table: str) -> dict[str, Any]:
        if engine == "postgresql":
            indexes = {(index.name, tuple(index.columns), index.unique) for index in database.get_indexes(table)}
            indexes -= {(INDEX, ("name_key", "owner_key", "breed_key"), False)}
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

    migrated = {model: read_schema(database, model._meta.table_name) for model in MODELS}
    assert not diff_schema(database.obj)
    declared = make_database(new_database())
    with declared.bind_ctx(MODELS), declared.connection_context():
        declared.create_tables(MODELS)
        expected = {model: read_schema(declared, model._meta.table_name) for model in MODELS}
    close_connections(declared)

    assert migrated == expected
    assert {table for table in list_tables() if not table.startswith(INDEX)} == {
        *(model._meta.table_name for model in MODELS),
        "schema_migration",
    }


@SQLITE_ONLY
def test_ids_are_never_reused(app: Flask) -> None:
    rows = database.execute_sql("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
    autoincrement_tables = {name for name, sql in rows if "AUTOINCREMENT" in sql}

    assert autoincrement_tables == {model._meta.table_name for model in MODELS if "id" in model._meta.fields}


def test_no_column_is_nullable(app: Flask) -> None:
    nullable = [
        (model._meta.table_name, column.name)
        for model in MODELS
        for column in database.get_columns(model._meta.table_name)
        if column.null
    ]

    assert nullable == []


def test_upgrade_applies_each_migration_once(empty_app: Flask) -> None:
    assert [(migration.name, migration.applied) for migration in migrations.status(database.obj)] == [
        (name, None) for name in MIGRATIONS
    ]

    assert migrations.upgrade(database.obj) == MIGRATIONS
    register(empty_app, "Anna")
    assert migrations.upgrade(database.obj) == []

    assert all(migration.applied for migration in migrations.status(database.obj))
    assert User.select().count() == 1


def test_upgrade_restores_connection_settings(empty_app: Flask, engine: str) -> None:
    migrations.upgrade(database.obj)

    assert read_connection_settings(engine) == CONNECTION_SETTINGS[engine]
    assert run_concurrently(empty_app, lambda: read_connection_settings(engine)) == [CONNECTION_SETTINGS[engine]]


def test_failed_upgrade_is_rolled_back(
    app: Flask, anna: FlaskClient, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_dog(anna)
    before = list_tables()

    def downgrade_and_fail(_: migrations.Runner) -> list[str]:
        migrations.runner(database.obj).down()
        raise peewee.OperationalError("the disk is full")

    monkeypatch.setattr(migrations.Runner, "up", downgrade_and_fail)
    with pytest.raises(peewee.OperationalError, match="the disk is full"):
        migrations.upgrade(database.obj)

    assert list_tables() == before
    assert Dog.select().count() == 1
    assert read_connection_settings(engine) == CONNECTION_SETTINGS[engine]


@SQLITE_ONLY  # which does not enforce foreign keys while a table is recreated
def test_upgrade_that_violates_foreign_keys_is_rolled_back(
    app: Flask, anna: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_dog(anna)

    def delete_users(_: migrations.Runner) -> list[str]:
        User.delete().execute()
        return ["0002_delete_users"]

    monkeypatch.setattr(migrations.Runner, "up", delete_users)
    with pytest.raises(peewee.IntegrityError, match="foreign keys"):
        migrations.upgrade(database.obj)

    assert User.select().count() == 1


def test_down_reverts_all_migrations(app: Flask, anna: FlaskClient) -> None:
    add_dog(anna)

    reverted = [name for _ in MIGRATIONS for name in migrations.runner(database.obj).down()]

    assert reverted == MIGRATIONS[::-1]
    assert list_tables() == {"schema_migration"}
    assert migrations.upgrade(database.obj) == MIGRATIONS
    assert not diff_schema(database.obj)


def upgrade_all(urls: list[str], barrier: Any, results: Any) -> None:
    """Upgrade each database, at the same time as the other processes of the test below."""
    for url in urls:
        opened = connect(url)
        barrier.wait()
        try:
            results.put(migrations.upgrade(opened))
        except Exception as error:
            results.put(repr(error))
        finally:
            close_connections()


@pytest.mark.system
def test_concurrent_upgrades_are_safe(new_database: Callable[..., str], engine: str) -> None:
    rounds, processes = 60 if engine == "sqlite" else 10, 4
    urls = [new_database() for _ in range(rounds)]
    context = multiprocessing.get_context("spawn")  # a new interpreter, as for a second server
    barrier, queue = context.Barrier(processes), context.Queue()
    workers = [context.Process(target=upgrade_all, args=(urls, barrier, queue)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    results = [queue.get(timeout=60) for _ in range(rounds * processes)]
    for worker in workers:
        worker.join()

    # In each round one process applies all migrations, and the others wait and find none pending.
    assert sorted(results, key=str) == sorted([MIGRATIONS] * rounds + [[]] * rounds * (processes - 1), key=str)
    for url in urls:
        opened = connect(url)
        assert not diff_schema(opened)
        close_connections()


# --- Rate-limit counters ---


def test_concurrent_counts_are_not_lost(app: Flask) -> None:
    def add_counts() -> list[int]:
        return [RateLimit.add("login", 1, 60) for _ in range(20)]

    counts = [number for thread in run_concurrently(app, *[add_counts] * 8) for number in thread]

    assert sorted(counts) == list(range(1, 161))
    assert RateLimit.current("login").count == 160


def test_counters_are_independent_and_add_amounts(app: Flask) -> None:
    assert [RateLimit.add("a", 1, 60), RateLimit.add("b", 5, 60), RateLimit.add("a", 2, 60)] == [1, 5, 3]


def test_window_starts_at_first_count(app: Flask) -> None:
    before = utc_now()
    RateLimit.add("a", 1, 60)
    after = utc_now()
    RateLimit.add("a", 1, 9000)

    assert before + timedelta(seconds=60) <= RateLimit.current("a").expires_at <= after + timedelta(seconds=60)


def test_expired_counters_are_purged_and_restart(app: Flask) -> None:
    for key in ("a", "b", "c"):
        RateLimit.add(key, 3, 60)
    RateLimit.update(expires_at=utc_now()).where(RateLimit.key != "c").execute()

    assert RateLimit.current("a") is None
    assert RateLimit.add("a", 1, 60) == 1
    assert {counter.key for counter in RateLimit.select()} == {"a", "c"}
    assert RateLimit.add("c", 1, 60) == 4


def test_delete_counters_deletes_one_or_all(app: Flask) -> None:
    for key in ("a", "b", "c"):
        RateLimit.add(key, 1, 60)

    assert [RateLimit.delete_counters("a"), RateLimit.delete_counters("a"), RateLimit.delete_counters()] == [1, 0, 2]
    assert RateLimit.select().count() == 0


def test_new_sqlite_file_is_private(tmp_path: Path) -> None:
    path = tmp_path / "dogs.sqlite"
    connection = connect(f"sqlite:///{path}")
    migrations.upgrade(connection)
    User.select().count()

    assert {file.name: file.stat().st_mode & 0o077 for file in tmp_path.glob("dogs.sqlite*")} == {
        "dogs.sqlite": 0,
        "dogs.sqlite-shm": 0,
        "dogs.sqlite-wal": 0,
    }
    connection.close()
