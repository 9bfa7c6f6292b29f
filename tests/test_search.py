"""Substring search of dogs: results equal a brute-force search, without reading every row."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import peewee
import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient

from models import Dog, database, migrations
from models.casefold import casefold_nfc
from models.copy_database import open_database
from models.dog import with_folded_columns
from models.search import ESTIMATE_THRESHOLD, INDEX, INDEX_SCAN_LIMIT, MAX_VM_STEPS, has_index
from models.search_queries import SHORT_SCAN_ROWS

from .engines import BOTH_ENGINES, POSTGRESQL_ONLY, SQLITE_ONLY
from .factories import PASSWORD, add_dog, insert_dogs, register
from .live_server import ROOT, Server
from .postgres import Cluster, Databases, find_postgres, has_trigrams
from .test_pagination import SORT_ORDERS, capture_dog_queries, fetch_all, measure_cost, sort_key
from .transfer_fixtures import run_command

pytestmark = BOTH_ENGINES

DOGS = "/api/v1/dogs"
FIELDS = ("name", "owner", "breed")

# Text fragments: characters that an engine or its index may treat specially, letters with several
# encodings, and some that are no letters.
FRAGMENTS = [
    *"abcABC", *" \"'*%_\\-+()^:{}[]?,.", '"a"', "é", "e\u0301", "\u0301", "ß", "ﬁ", "İ", "Σ", "ς", "ΐ", "я", "Я", "犬",
    "\U00010400", "\U00010428", "🐕", "\ufffe", "\uffff", "\ufffd", " OR ", " AND ", "NOT", "NEAR(", "name_key:",
]  # fmt: skip
# Queries besides substrings of these texts.
HOSTILE_QUERIES = [
    '"', '""', '"""', '"' * 80, "'" * 3, "%%%", "___", "\\\\\\", "\\%_", "a%c", "a_c", "abc*", "^abc", "-abc",
    "abc OR b", 'abc" OR "b', "a AND b", "NEAR(abc)", "name_key:abc", "{name_key}: abc", "'; DROP TABLE dogs;--",
    "dogs_search", "rank", "((((((", "\u0301\u0301\u0301", "\ufffd\ufffd\ufffd", "\uffff\uffff\uffff", "🐕🐕🐕",
    "ﬃ" * 80, "".join(chr(0x1F400 + number) for number in range(80)), "".join(chr(0xAC00 + n) for n in range(80)),
]  # fmt: skip


@pytest.fixture
def require_search_index(engine: str, request: pytest.FixtureRequest) -> None:
    """Require a search index. Skip with the reason where the database server can't have one."""
    if engine == "postgresql" and not is_available(request.getfixturevalue("databases")):
        pytest.skip("this PostgreSQL server has no pg_trgm, so its index can't be tested")


def is_available(databases: Databases) -> bool:
    """Return whether the server has pg_trgm."""
    search_ids = databases.run("SELECT FROM pg_available_extensions WHERE name = 'pg_trgm'")
    return search_ids.fetchone() is not None


def insert(texts: Iterable[tuple[str, str, str]]) -> None:
    """Insert a dog of the first user with each name, owner and breed."""
    begin = datetime(2024, 1, 1, tzinfo=UTC)
    rows = [
        {
            **with_folded_columns(dict(zip(FIELDS, three, strict=True))),
            "version": 1,
            "user": 1,
            "created_at": begin + timedelta(seconds=number * 7919 % 10_007),
        }
        for number, three in enumerate(texts)
    ]
    insert_dogs(rows)


# The texts of the dogs are compared with many queries.
casefold_text = cache(casefold_nfc)


def brute_force_ids(dogs: list[dict[str, Any]], q: str, sort: str = "id") -> list[int]:
    """Return the ids of the dogs that a search must find, by checking each."""
    part = casefold_nfc(q.strip())
    fitting = [dog for dog in dogs if any(part in casefold_text(dog[field]) for field in FIELDS)]
    return [dog["id"] for dog in sorted(fitting, key=lambda dog: sort_key(dog, sort), reverse=sort[0] == "-")]


def search_ids(client: FlaskClient, q: str, limit: int = 100, **more: str) -> list[int]:
    """Return the ids of the first dogs that a search finds."""
    response = client.get(DOGS, query_string={"q": q, "limit": limit, **more})
    assert response.status_code == 200, (q, response.json)
    return [dog["id"] for dog in response.json["data"]]


def random_texts(rng: random.Random, count: int) -> list[tuple[str, str, str]]:
    """Return `count` names, owners and breeds. Many share substrings."""
    texts = ["".join(rng.choices(FRAGMENTS, k=rng.randint(1, 9))) for _ in range(count // 2)]
    return [(rng.choice(texts), rng.choice(texts), rng.choice(texts)) for _ in range(count)]


def random_queries(rng: random.Random, dogs: list[dict[str, Any]], count: int) -> Iterator[str]:
    """Return substrings of their texts, some in another case, and some with an extra character."""
    for _ in range(count):
        text = rng.choice(dogs)[rng.choice(FIELDS)]
        begin = rng.randrange(len(text))
        part = text[begin : begin + rng.randint(1, 7)]
        part = rng.choice([str, str.upper, str.lower, str.swapcase])(part)
        yield part + rng.choice(["", "", rng.choice(FRAGMENTS)])


# --- Results ---


@pytest.mark.no_cover
@pytest.mark.parametrize("seed", [1, 2])
def test_search_equals_brute_force(anna: FlaskClient, seed: int) -> None:
    rng = random.Random(seed)
    insert(random_texts(rng, 500))
    dogs = fetch_all(anna, "", 100)

    queries = [*HOSTILE_QUERIES, *random_queries(rng, dogs, 300)]

    for q in queries:
        if q.strip():
            sort = rng.choice(SORT_ORDERS)
            assert search_ids(anna, q, sort=sort) == brute_force_ids(dogs, q, sort)[:100], (ascii(q), sort)


@pytest.mark.no_cover
def test_search_pages_equal_brute_force_in_every_order(anna: FlaskClient) -> None:
    rng = random.Random(3)
    words = ["Abel", "abélard", "Labrador", "label", "BELLA", "Xolo"]
    insert([(rng.choice(words), rng.choice(words), rng.choice(words)) for _ in range(300)])
    dogs = fetch_all(anna, "", 100)

    for q in ("abel", "LAB", "bel", "xolo", "abelx", "ab"):
        for sort in SORT_ORDERS:
            pages = fetch_all(anna, f"q={q}&sort={sort}", 7)
            assert [dog["id"] for dog in pages] == brute_force_ids(dogs, q, sort)
        for field in FIELDS:
            fitting = [dog for dog in dogs if casefold_nfc(dog[field]) == "bella"]
            pages = fetch_all(anna, f"q={q}&{field}=bella", 7)
            assert [dog["id"] for dog in pages] == brute_force_ids(fitting, q)
        assert fetch_all(anna, f"q={q}&mine=true", 7) == fetch_all(anna, f"q={q}", 100)
        assert fetch_all(anna, f"q={q}&user_id=2", 7) == []


# --- Index maintenance ---


def indexed_ids(part: str, at: peewee.Database | None = None) -> list[int]:
    """Return the ids that SQLite's index has for a trigram."""
    rows = (at or database.obj).execute_sql(f"SELECT rowid FROM {INDEX} WHERE {INDEX} MATCH ?", (f'"{part}"',))
    return [row_id for (row_id,) in rows.fetchall()]


def test_search_finds_new_and_changed_dogs_at_once(anna: FlaskClient) -> None:
    dog = add_dog(anna, name="Waldemar", breed="Pinscher", owner="Olga")
    path = f"{DOGS}/{dog['id']}"

    assert [search_ids(anna, q) for q in ("aldem", "insch", "olg")] == [[dog["id"]]] * 3
    anna.patch(path, json={"name": "Friedrich", "owner": "OLGA"})
    assert [search_ids(anna, q) for q in ("aldem", "friedr", "insch", "olg")] == [[], *[[dog["id"]]] * 3]
    anna.put(path, json={"name": "WALDEMAR", "breed": "Spitz"})
    assert [search_ids(anna, q) for q in ("aldem", "friedr", "insch", "spitz")] == [[dog["id"]], [], [], [dog["id"]]]
    anna.delete(path)
    assert [search_ids(anna, q) for q in ("aldem", "spitz")] == [[], []]


@SQLITE_ONLY
def test_deleted_account_removes_dogs_from_index(anna: FlaskClient, bob: FlaskClient) -> None:
    add_dog(anna, name="Waldemar")
    kept = add_dog(bob, name="Waldemar")

    assert anna.delete("/user/profile", json={"current_password": PASSWORD}).status_code == 200

    assert indexed_ids("ald") == [kept["id"]]


@SQLITE_ONLY
def test_case_only_change_does_not_touch_index(anna: FlaskClient) -> None:
    def parts() -> list[Any]:
        return database.execute_sql(f"SELECT * FROM {INDEX}_data ORDER BY id").fetchall()

    dog = add_dog(anna, name="Waldemar")
    before = parts()

    changed = anna.patch(f"{DOGS}/{dog['id']}", json={"name": "WALDEMAR", "breed": dog["breed"]})

    assert changed.json["data"]["name"] == "WALDEMAR"
    assert parts() == before
    anna.patch(f"{DOGS}/{dog['id']}", json={"name": "Friedrich"})
    assert parts() != before


def test_search_finds_concurrent_writes_of_two_processes(server: Server) -> None:
    words = ["Waldemar", "walderich", "Friedemar", "Friedrich", "Ede"]

    def change(number: int) -> list[int]:
        rng = random.Random(number)
        with requests.Session() as client:
            body = {"username": f"user{number}", "email": f"user{number}@example.com", "password": PASSWORD}
            statuses = [client.post(f"{server.url}/user/register", json=body).status_code]
            ids: list[int] = []
            for _ in range(60):
                texts = {field: rng.choice(words) for field in FIELDS}
                if len(ids) < 5 or rng.random() < 0.4:
                    answer = client.post(server.url + DOGS, json=texts)
                    ids.append(answer.json()["data"]["id"])
                elif rng.random() < 0.6:
                    answer = client.patch(f"{server.url}{DOGS}/{rng.choice(ids)}", json=texts)
                else:
                    answer = client.delete(f"{server.url}{DOGS}/{ids.pop(rng.randrange(len(ids)))}")
                statuses.append(answer.status_code)
        return statuses

    with ThreadPoolExecutor(6) as threads:
        statuses = [status for some in threads.map(change, range(6)) for status in some]

    assert {*statuses} == {200, 201}
    dogs = fetch_all_from_server(server, "")
    assert len(dogs) > 30
    for q in ("wald", "frie", "emar", "rich", "ede"):
        assert [dog["id"] for dog in fetch_all_from_server(server, f"&q={q}")] == brute_force_ids(dogs, q)
    if server.settings["DATABASE_URL"].startswith("sqlite"):
        with open_database(server.settings["DATABASE_URL"]) as there:
            assert indexed_ids("ald", there) == brute_force_ids(dogs, "ald")
            assert indexed_ids("ede", there) == brute_force_ids(dogs, "ede")


def fetch_all_from_server(server: Server, query: str) -> list[dict[str, Any]]:
    """Return all dogs of a list, over all its pages."""
    dogs, path = [], f"{server.url}{DOGS}?limit=100{query}"
    while path:
        answer = requests.get(path, timeout=60)
        dogs += answer.json()["data"]
        cursor = answer.json()["page"]["next"]
        path = cursor and f"{server.url}{DOGS}?limit=100{query}&cursor={cursor}"
    return dogs


# --- Query strategies ---


def query_strategies(app: Flask, client: FlaskClient, q: str, sort: str) -> list[str]:
    """Return the strategy of each statement of a search on SQLite: index or scan."""
    statements = [statement for statement, _ in capture_dog_queries(app, client, f"q={q}&sort={sort}", limit=20)]
    return ["index" if f'"{INDEX}"' in statement else "scan" for statement in statements]


@pytest.fixture
def many_dogs(anna: FlaskClient) -> FlaskClient:
    """Return a client and enough dogs for every query strategy to be used."""
    rng = random.Random(4)
    words = ["".join(rng.choices("bdfglmnrst", k=4)) for _ in range(2000)]
    total, newest = 4 * SHORT_SCAN_ROWS, INDEX_SCAN_LIMIT + 500
    rows = []
    for number in range(total):
        name, owner, breed = (rng.choice(words) for _ in range(3))
        if number % 3 == 0:
            owner = "Anna Karenina"  # common everywhere
        if number >= total - newest:
            breed = "Zxoloitz"  # common, but the last by its id and by its breed
        if number % 4000 == 1999:
            name = "Xylophon"  # rare
        rows.append((name, owner, breed))
    insert(rows)
    database.execute_sql("ANALYZE")
    return anna


@pytest.mark.no_cover
@pytest.mark.usefixtures("require_search_index")
def test_search_of_many_dogs_reads_few_rows(app: Flask, many_dogs: FlaskClient, engine: str) -> None:
    dogs = list(Dog.select().dicts())
    assert has_index()

    for q in ("annakarenina", "karenina", "zxolo", "xyloph", "xyz", "annazxo", "na kar"):
        for sort in SORT_ORDERS:
            wanted = brute_force_ids(dogs, q, sort)
            assert search_ids(many_dogs, q, 20, sort=sort) == wanted[:20], (q, sort)
            if len(wanted) > 20:
                first = many_dogs.get(DOGS, query_string={"q": q, "sort": sort, "limit": 20}).json
                cursor = first["page"]["next"]
                assert search_ids(many_dogs, q, 20, sort=sort, cursor=cursor) == wanted[20:40], (q, sort)
        assert [dog["id"] for dog in fetch_all(many_dogs, f"q={q}&mine=true", 100)] == brute_force_ids(dogs, q), q
        assert [dog["id"] for dog in fetch_all(many_dogs, f"q={q}&mine=true&sort=-id", 100)] == brute_force_ids(
            dogs, q, "-id"
        ), q

    if engine == "sqlite":
        assert len(dogs) - INDEX_SCAN_LIMIT - 500 > MAX_VM_STEPS / 10
        assert {q: query_strategies(app, many_dogs, q, "id") for q in ("karenina", "zxolo", "xyloph", "xyz")} == {
            "karenina": ["index"], "zxolo": ["index"], "xyloph": ["index"], "xyz": ["index"],
        }  # fmt: skip
        assert {q: query_strategies(app, many_dogs, q, "breed") for q in ("karenina", "zxolo", "xyloph", "xyz")} == {
            "karenina": ["scan"], "zxolo": ["scan", "index"], "xyloph": ["index"], "xyz": ["index"],
        }  # fmt: skip
        queries = ("karenina", "zxolo", "xyloph", "xyz")
        assert {q: query_strategies(app, many_dogs, q, "id&user_id=1") for q in queries} == {
            "karenina": ["scan"], "zxolo": ["scan", "index"], "xyloph": ["index"], "xyz": ["index"],
        }  # fmt: skip


def explain_steps(statement: str, values: Any) -> list[dict[str, Any]]:
    """Return the plan nodes of a statement that read a table or an index (EXPLAIN ANALYZE)."""
    ((plan,),) = database.execute_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", values)
    steps = [plan[0]["Plan"]]
    for step in steps:
        steps.extend(step.get("Plans", ()))
    return [step for step in steps if step["Node Type"].endswith("Scan") and step["Node Type"] != "Subquery Scan"]


def uses_search_index_only(steps: list[dict[str, Any]]) -> bool:
    """Return whether these plan nodes read dogs by the search index only."""
    return {step.get("Index Name") for step in steps if step["Node Type"] == "Bitmap Index Scan"} == {INDEX}


@POSTGRESQL_ONLY
@pytest.mark.usefixtures("require_search_index")
@pytest.mark.parametrize("query", ["sort=id", "sort=breed", "sort=name&breed=zxoloitz"])
@pytest.mark.parametrize("q", ["xyloph", "xyz"])
def test_postgresql_rare_substring_uses_trigram_index(app: Flask, many_dogs: FlaskClient, q: str, query: str) -> None:
    (steps,) = (explain_steps(*one) for one in capture_dog_queries(app, many_dogs, f"q={q}&{query}", limit=20))

    assert uses_search_index_only(steps)
    assert sum(step["Actual Rows"] for step in steps if step["Node Type"] == "Bitmap Heap Scan") < 10


@POSTGRESQL_ONLY
@pytest.mark.usefixtures("require_search_index")
@pytest.mark.parametrize("sort", ["id", "breed"])
def test_postgresql_short_scan_then_index_scan(app: Flask, many_dogs: FlaskClient, sort: str) -> None:
    near, far = (explain_steps(*one) for one in capture_dog_queries(app, many_dogs, f"q=zxoloi&sort={sort}", limit=20))

    assert [step["Actual Rows"] for step in near] == [SHORT_SCAN_ROWS]
    goes_on, *all_that_match = far  # unordered, and here without an index: a third of all dogs match
    assert goes_on["Actual Rows"] == SHORT_SCAN_ROWS + 1
    assert {step["Node Type"] for step in all_that_match} <= {"Seq Scan", "Bitmap Heap Scan", "Bitmap Index Scan"}


@POSTGRESQL_ONLY
@pytest.mark.usefixtures("require_search_index")
def test_postgresql_very_common_substring_scans_further(app: Flask, anna: FlaskClient) -> None:
    database.execute_sql(
        "INSERT INTO dogs (name, name_key, owner, owner_key, breed, breed_key, version, created_at, user_id)"
        " SELECT name, name, 'o', 'o', 'b', 'b', 1, now(), 1"
        " FROM (SELECT CASE WHEN number > %s THEN 'zxoloitz' ELSE 'rex' END AS name"
        " FROM generate_series(1, %s) AS number) AS dogs",
        (2 * SHORT_SCAN_ROWS, ESTIMATE_THRESHOLD + 3 * SHORT_SCAN_ROWS),
    )
    database.execute_sql("ANALYZE")

    (steps,) = (explain_steps(*one) for one in capture_dog_queries(app, anna, "q=zxoloi", limit=20))

    assert [step["Actual Rows"] for step in steps] == [2 * SHORT_SCAN_ROWS + 21]
    assert search_ids(anna, "zxoloi", 20) == [*range(2 * SHORT_SCAN_ROWS + 1, 2 * SHORT_SCAN_ROWS + 21)]


@POSTGRESQL_ONLY
@pytest.mark.usefixtures("require_search_index")
def test_postgresql_search_never_uses_generic_plan(app: Flask, many_dogs: FlaskClient) -> None:
    def prepared() -> set[str]:
        return {text for (text,) in database.execute_sql("SELECT statement FROM pg_prepared_statements").fetchall()}

    with database.connection_context():
        for _ in range(10):
            search_ids(many_dogs, "xyloph", sort="name")
            search_ids(many_dogs, "karenina", sort="name")
        assert not any("LIKE" in text or "strpos" in text.lower() for text in prepared())
        for _ in range(10):
            many_dogs.get(DOGS)
        assert any('"dogs"' in text for text in prepared())


@POSTGRESQL_ONLY
@pytest.mark.usefixtures("require_search_index")
@pytest.mark.parametrize("query", ["q=karenina", "q=karenina&sort=-name", "q=zxolo&sort=-breed"])
def test_postgresql_common_substring_is_found_by_short_scan(app: Flask, many_dogs: FlaskClient, query: str) -> None:
    ((step,),) = (explain_steps(*one) for one in capture_dog_queries(app, many_dogs, query, limit=20))

    assert step["Actual Rows"] < 200


@POSTGRESQL_ONLY
@pytest.mark.usefixtures("require_search_index")
def test_postgresql_skips_index_after_complete_scan(app: Flask, many_dogs: FlaskClient) -> None:
    breed = Dog.get_by_id(1).breed
    near, far = (
        explain_steps(*one) for one in capture_dog_queries(app, many_dogs, f"q=karenina&breed={breed}", limit=20)
    )

    assert sum(step["Actual Rows"] for step in near) < SHORT_SCAN_ROWS
    assert [step["Actual Loops"] for step in far].count(0) == len(
        far
    ) - 1  # except the node that checks the length of the list


@SQLITE_ONLY
def test_sqlite_search_has_no_full_scan_or_sort(app: Flask, many_dogs: FlaskClient) -> None:
    for query in ("q=xyloph", "q=xyz", "q=zxoloitz", "q=karenina", "q=xyz&user_id=1", "q=zxoloitz&user_id=1"):
        statement, values = capture_dog_queries(app, many_dogs, query, limit=20)[-1]
        plan = [row[3] for row in database.execute_sql(f"EXPLAIN QUERY PLAN {statement}", values)]
        first, second = plan  # no third node that sorts
        assert "VIRTUAL TABLE INDEX" in first
        assert second.startswith("SEARCH t1 USING INTEGER PRIMARY KEY")


@SQLITE_ONLY
def test_sqlite_match_uses_all_trigrams(app: Flask, many_dogs: FlaskClient) -> None:
    for sort in ("id", "name"):  # kar and zxo are common, and often together; all those would be thousands of steps
        assert measure_cost(app, many_dogs, f"q=karzxo&sort={sort}") < 10 * measure_cost(
            app, many_dogs, f"q=xyz&sort={sort}"
        )


# --- Databases without an index ---


def assert_search_without_index(app: Flask) -> None:
    """Check a search of a database without an index."""
    anna = register(app, "Anna")
    insert(random_texts(random.Random(5), 100))
    dogs = fetch_all(anna, "", 100)
    for q in [*HOSTILE_QUERIES, *random_queries(random.Random(6), dogs, 50)]:
        if q.strip():
            assert search_ids(anna, q, sort="-name") == brute_force_ids(dogs, q, "-name")
    assert not has_index()


@SQLITE_ONLY
def test_sqlite_without_trigram_tokenizer_scans(
    make_app: Callable[..., Flask], new_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    execute = peewee.SqliteDatabase.execute_sql

    def other_tokenizer(self: Any, sql: str, params: Any = None) -> Any:
        return execute(self, sql.replace("tokenize='trigram", "tokenize='none_of_this_name"), params)

    monkeypatch.setattr(peewee.SqliteDatabase, "execute_sql", other_tokenizer)
    app = make_app(DATABASE_URL=new_database())
    assert migrations.upgrade(database.obj)

    assert_search_without_index(app)
    assert not any(table.startswith(INDEX) for table in database.get_tables())
    assert migrations.runner(database.obj).down()


@POSTGRESQL_ONLY
def test_postgresql_without_pg_trgm_scans(make_app: Callable[..., Flask]) -> None:
    programs, _ = find_postgres(trigrams=False)
    if has_trigrams(programs):
        pytest.skip("each PostgreSQL server of this machine has pg_trgm; the next test is of one that can't add it")
    with Cluster(trigrams=False) as cluster:
        app = make_app(DATABASE_URL=cluster.url("postgres"))
        assert migrations.upgrade(database.obj)

        assert_search_without_index(app)
        assert migrations.runner(database.obj).down()


@POSTGRESQL_ONLY
def test_postgresql_without_create_privilege_scans_first(
    make_app: Callable[..., Flask], new_database: Callable[..., str], databases: Databases
) -> None:
    app = make_app(DATABASE_URL=new_database())
    database.execute_sql("CREATE TYPE gtrgm AS (id int)")  # the extension has one of this name
    assert migrations.upgrade(database.obj)

    assert_search_without_index(app)

    if is_available(databases):
        database.execute_sql("DROP TYPE gtrgm")
        page = (ROOT / "docs" / "deployment.md").read_text()
        for statement in re.findall(r"`(CREATE [^`]+)`", page):
            database.execute_sql(statement)
        assert has_index()
        ((_, made),) = index_definition(database.obj)
        app = make_app()
        ((_, migrated),) = index_definition(app.extensions["database"])
        assert made == migrated


# --- Migration, db move and restore ---


@pytest.mark.usefixtures("require_search_index")
def test_migration_indexes_existing_dogs(anna: FlaskClient) -> None:
    insert(random_texts(random.Random(7), 300))
    dogs = fetch_all(anna, "", 100)
    before = index_definition(database.obj)

    while "0003_search_index" not in migrations.runner(database.obj).down():
        pass
    assert index_definition(database.obj) == []
    migrations.upgrade(database.obj)

    assert index_definition(database.obj) == before
    for q in ("abc", "bca", '"a"', "犬"):
        assert search_ids(anna, q) == brute_force_ids(dogs, q)


def index_definition(at: peewee.Database) -> list[tuple[str, ...]]:
    """Return the SQL that creates and maintains the index, from the database's catalog."""
    if isinstance(at, peewee.SqliteDatabase):
        search_ids = f"SELECT name, sql FROM sqlite_master WHERE name LIKE '{INDEX}%' ORDER BY name"
    else:
        search_ids = f"SELECT indexname, indexdef FROM pg_indexes WHERE indexname = '{INDEX}'"
    return at.execute_sql(search_ids).fetchall()


@pytest.mark.usefixtures("require_search_index")
def test_db_move_rebuilds_search_index(
    app: Flask, anna: FlaskClient, make_app: Callable[..., Flask], target: str
) -> None:
    insert(random_texts(random.Random(8), 300))
    dogs = fetch_all(anna, "", 100)
    with open_database(target) as there:
        migrations.upgrade(there)
        before = index_definition(there)

    assert run_command(app, "db", "move", "--to", target).exit_code == 0

    client = register(make_app(DATABASE_URL=target), "Bob")
    assert index_definition(database.obj) == before != []
    dogs.append(add_dog(client, name="abc"))
    for q in ("abc", "bca", '"a"', "犬"):
        assert search_ids(client, q) == brute_force_ids(dogs, q)
    if isinstance(database.obj, peewee.SqliteDatabase):
        assert indexed_ids("abc") == brute_force_ids(dogs, "abc")


def test_restore_rebuilds_search_index(
    app: Flask, anna: FlaskClient, make_app: Callable[..., Flask], new_database: Callable[..., str], tmp_path: Path
) -> None:
    dog = add_dog(anna, name="Waldemar")
    assert run_command(app, "backup", str(tmp_path / "dogs.backup")).exit_code == 0

    again = make_app(DATABASE_URL=new_database(), UPLOADS_URL=str(tmp_path / "again"))
    assert run_command(again, "restore", str(tmp_path / "dogs.backup")).exit_code == 0

    assert search_ids(again.test_client(), "ALDEM") == [dog["id"]]
    if isinstance(database.obj, peewee.SqliteDatabase):
        assert indexed_ids("ald") == [dog["id"]]
