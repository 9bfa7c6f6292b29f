"""The search of dogs: that it finds what a look at each dog would find, and that it does not look at each."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import peewee
import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from peewee import chunked

from models import Dog, database, migrations
from models.casefold import casefold_nfc
from models.copy_database import open_database
from models.dog import with_folded_columns
from models.search import ESTIMATE_THRESHOLD, INDEX, INDEX_SCAN_LIMIT, MAX_VM_STEPS, SHORT_SCAN_ROWS, has_index

from .engines import BOTH_ENGINES, POSTGRESQL_ONLY, SQLITE_ONLY
from .factories import PASSWORD, add_dog, register
from .live_server import ROOT, Server
from .postgres import Cluster, Databases, find_postgres, has_trigrams
from .test_pagination import SORTS, cost_of, place_of, statements_on_dogs, walk
from .transfer_fixtures import run

pytestmark = BOTH_ENGINES

DOGS = "/api/v1/dogs"
FIELDS = ("name", "owner", "breed")

# What the texts are made of: signs that an engine or its index may take for something else, letters with several
# spellings, and some that are no letters.
PARTS = [
    *"abcABC", *" \"'*%_\\-+()^:{}[]?,.", '"a"', "é", "e\u0301", "\u0301", "ß", "ﬁ", "İ", "Σ", "ς", "ΐ", "я", "Я", "犬",
    "\U00010400", "\U00010428", "🐕", "\ufffe", "\uffff", "\ufffd", " OR ", " AND ", "NOT", "NEAR(", "name_key:",
]  # fmt: skip
# What is asked beside parts of these texts.
HOSTILE = [
    '"', '""', '"""', '"' * 80, "'" * 3, "%%%", "___", "\\\\\\", "\\%_", "a%c", "a_c", "abc*", "^abc", "-abc",
    "abc OR b", 'abc" OR "b', "a AND b", "NEAR(abc)", "name_key:abc", "{name_key}: abc", "'; DROP TABLE dogs;--",
    "dogs_search", "rank", "((((((", "\u0301\u0301\u0301", "\ufffd\ufffd\ufffd", "\uffff\uffff\uffff", "🐕🐕🐕",
    "ﬃ" * 80, "".join(chr(0x1F400 + number) for number in range(80)), "".join(chr(0xAC00 + n) for n in range(80)),
]  # fmt: skip


@pytest.fixture
def engine_has_index(engine: str, request: pytest.FixtureRequest) -> None:
    """For tests of the index. Says so where the server that the tests use can have none."""
    if engine == "postgresql" and not is_available(request.getfixturevalue("databases")):
        pytest.skip("this PostgreSQL server has no pg_trgm, so its index can't be tested")


def is_available(databases: Databases) -> bool:
    """Whether the server has pg_trgm."""
    found = databases.run("SELECT FROM pg_available_extensions WHERE name = 'pg_trgm'")
    return found.fetchone() is not None


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
    with database.atomic():
        for batch in chunked(rows, 500):
            Dog.insert_many(batch).execute()


def matching(dogs: list[dict[str, Any]], q: str, sort: str = "id") -> list[int]:
    """The ids of those of the dogs that a search must find, by a look at each."""
    part = casefold_nfc(q.strip())
    fitting = [dog for dog in dogs if any(part in casefold_nfc(dog[field]) for field in FIELDS)]
    return [dog["id"] for dog in sorted(fitting, key=lambda dog: place_of(dog, sort), reverse=sort[0] == "-")]


def found(client: FlaskClient, q: str, limit: int = 100, **more: str) -> list[int]:
    """The ids of the first dogs that a search finds."""
    response = client.get(DOGS, query_string={"q": q, "limit": limit, **more})
    assert response.status_code == 200, (q, response.json)
    return [dog["id"] for dog in response.json["data"]]


def random_texts(chance: random.Random, count: int) -> list[tuple[str, str, str]]:
    """So many names, owners and breeds. Many have something in common."""
    texts = ["".join(chance.choices(PARTS, k=chance.randint(1, 9))) for _ in range(count // 2)]
    return [(chance.choice(texts), chance.choice(texts), chance.choice(texts)) for _ in range(count)]


def random_queries(chance: random.Random, dogs: list[dict[str, Any]], count: int) -> Iterator[str]:
    """Parts of their texts, some in another case, and some with a sign that is not there."""
    for _ in range(count):
        text = chance.choice(dogs)[chance.choice(FIELDS)]
        begin = chance.randrange(len(text))
        part = text[begin : begin + chance.randint(1, 7)]
        part = chance.choice([str, str.upper, str.lower, str.swapcase])(part)
        yield part + chance.choice(["", "", chance.choice(PARTS)])


# --- What is found ---


@pytest.mark.parametrize("seed", [1, 2])
def test_finds_what_a_look_at_each_dog_would_find(anna: FlaskClient, seed: int) -> None:
    chance = random.Random(seed)
    insert(random_texts(chance, 500))
    dogs = walk(anna, "", 100)

    asked = [*HOSTILE, *random_queries(chance, dogs, 300)]

    for q in asked:
        if q.strip():
            sort = chance.choice(SORTS)
            assert found(anna, q, sort=sort) == matching(dogs, q, sort)[:100], (ascii(q), sort)


def test_finds_the_same_in_every_order_and_page_and_beside_other_filters(anna: FlaskClient) -> None:
    chance = random.Random(3)
    words = ["Abel", "abélard", "Labrador", "label", "BELLA", "Xolo"]
    insert([(chance.choice(words), chance.choice(words), chance.choice(words)) for _ in range(300)])
    dogs = walk(anna, "", 100)

    for q in ("abel", "LAB", "bel", "xolo", "abelx", "ab"):
        for sort in SORTS:
            pages = walk(anna, f"q={q}&sort={sort}", 7)
            assert [dog["id"] for dog in pages] == matching(dogs, q, sort)
        for field in FIELDS:
            fitting = [dog for dog in dogs if casefold_nfc(dog[field]) == "bella"]
            pages = walk(anna, f"q={q}&{field}=bella", 7)
            assert [dog["id"] for dog in pages] == matching(fitting, q)
        assert walk(anna, f"q={q}&mine=true", 7) == walk(anna, f"q={q}", 100)
        assert walk(anna, f"q={q}&user_id=2", 7) == []


# --- What is written ---


def indexed(part: str, at: peewee.Database | None = None) -> list[int]:
    """The ids that SQLite's index has for three letters."""
    rows = (at or database.obj).execute_sql(f"SELECT rowid FROM {INDEX} WHERE {INDEX} MATCH ?", (f'"{part}"',))
    return [row_id for (row_id,) in rows.fetchall()]


def test_finds_what_has_just_been_written(anna: FlaskClient) -> None:
    dog = add_dog(anna, name="Waldemar", breed="Pinscher", owner="Olga")
    path = f"{DOGS}/{dog['id']}"

    assert [found(anna, q) for q in ("aldem", "insch", "olg")] == [[dog["id"]]] * 3
    anna.patch(path, json={"name": "Friedrich", "owner": "OLGA"})
    assert [found(anna, q) for q in ("aldem", "friedr", "insch", "olg")] == [[], *[[dog["id"]]] * 3]
    anna.put(path, json={"name": "WALDEMAR", "breed": "Spitz"})
    assert [found(anna, q) for q in ("aldem", "friedr", "insch", "spitz")] == [[dog["id"]], [], [], [dog["id"]]]
    anna.delete(path)
    assert [found(anna, q) for q in ("aldem", "spitz")] == [[], []]


@SQLITE_ONLY
def test_dogs_leave_the_index_with_their_user(anna: FlaskClient, bob: FlaskClient) -> None:
    add_dog(anna, name="Waldemar")
    kept = add_dog(bob, name="Waldemar")

    assert anna.delete("/user/profile", json={"current_password": PASSWORD}).status_code == 200

    assert indexed("ald") == [kept["id"]]


@SQLITE_ONLY
def test_a_change_of_case_or_of_nothing_does_not_touch_the_index(anna: FlaskClient) -> None:
    def parts() -> list[Any]:
        return database.execute_sql(f"SELECT * FROM {INDEX}_data ORDER BY id").fetchall()

    dog = add_dog(anna, name="Waldemar")
    before = parts()

    changed = anna.patch(f"{DOGS}/{dog['id']}", json={"name": "WALDEMAR", "breed": dog["breed"]})

    assert changed.json["data"]["name"] == "WALDEMAR"
    assert parts() == before
    anna.patch(f"{DOGS}/{dog['id']}", json={"name": "Friedrich"})
    assert parts() != before


def test_what_two_processes_write_at_once_is_found(server: Server) -> None:
    words = ["Waldemar", "walderich", "Friedemar", "Friedrich", "Ede"]

    def change(number: int) -> list[int]:
        chance = random.Random(number)
        with requests.Session() as client:
            body = {"username": f"user{number}", "email": f"user{number}@example.com", "password": PASSWORD}
            statuses = [client.post(f"{server.url}/user/register", json=body).status_code]
            ids: list[int] = []
            for _ in range(60):
                texts = {field: chance.choice(words) for field in FIELDS}
                if len(ids) < 5 or chance.random() < 0.4:
                    answer = client.post(server.url + DOGS, json=texts)
                    ids.append(answer.json()["data"]["id"])
                elif chance.random() < 0.6:
                    answer = client.patch(f"{server.url}{DOGS}/{chance.choice(ids)}", json=texts)
                else:
                    answer = client.delete(f"{server.url}{DOGS}/{ids.pop(chance.randrange(len(ids)))}")
                statuses.append(answer.status_code)
        return statuses

    with ThreadPoolExecutor(6) as threads:
        statuses = [status for some in threads.map(change, range(6)) for status in some]

    assert {*statuses} == {200, 201}
    dogs = everything(server, "")
    assert len(dogs) > 30
    for q in ("wald", "frie", "emar", "rich", "ede"):
        assert [dog["id"] for dog in everything(server, f"&q={q}")] == matching(dogs, q)
    if server.settings["DATABASE_URL"].startswith("sqlite"):
        with open_database(server.settings["DATABASE_URL"]) as there:
            assert indexed("ald", there) == matching(dogs, "ald")
            assert indexed("ede", there) == matching(dogs, "ede")


def everything(server: Server, query: str) -> list[dict[str, Any]]:
    """All dogs of a list, over all its pages."""
    dogs, path = [], f"{server.url}{DOGS}?limit=100{query}"
    while path:
        answer = requests.get(path, timeout=60)
        dogs += answer.json()["data"]
        cursor = answer.json()["page"]["next"]
        path = cursor and f"{server.url}{DOGS}?limit=100{query}&cursor={cursor}"
    return dogs


# --- How it is found ---


def ways(app: Flask, client: FlaskClient, q: str, sort: str) -> list[str]:
    """How a search of SQLite goes about it, statement by statement: by its index, or on a walk."""
    statements = [statement for statement, _ in statements_on_dogs(app, client, f"q={q}&sort={sort}", limit=20)]
    return ["index" if f'"{INDEX}"' in statement else "walk" for statement in statements]


@pytest.fixture
def many(anna: FlaskClient) -> FlaskClient:
    """A client, and so many dogs that each way of a search is gone."""
    chance = random.Random(4)
    words = ["".join(chance.choices("bdfglmnrst", k=4)) for _ in range(2000)]
    total, newest = 4 * SHORT_SCAN_ROWS, INDEX_SCAN_LIMIT + 500
    rows = []
    for number in range(total):
        name, owner, breed = (chance.choice(words) for _ in range(3))
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


@pytest.mark.usefixtures("engine_has_index")
def test_a_search_of_many_dogs_finds_the_same_and_looks_at_few(app: Flask, many: FlaskClient, engine: str) -> None:
    dogs = list(Dog.select().dicts())
    assert has_index()

    for q in ("annakarenina", "karenina", "zxolo", "xyloph", "xyz", "annazxo", "na kar"):
        for sort in SORTS:
            wanted = matching(dogs, q, sort)
            assert found(many, q, 20, sort=sort) == wanted[:20], (q, sort)
            if len(wanted) > 20:
                first = many.get(DOGS, query_string={"q": q, "sort": sort, "limit": 20}).json
                cursor = first["page"]["next"]
                assert found(many, q, 20, sort=sort, cursor=cursor) == wanted[20:40], (q, sort)
        assert [dog["id"] for dog in walk(many, f"q={q}&mine=true", 100)] == matching(dogs, q), q
        assert [dog["id"] for dog in walk(many, f"q={q}&mine=true&sort=-id", 100)] == matching(dogs, q, "-id"), q

    if engine == "sqlite":
        assert len(dogs) - INDEX_SCAN_LIMIT - 500 > MAX_VM_STEPS / 10
        assert {q: ways(app, many, q, "id") for q in ("karenina", "zxolo", "xyloph", "xyz")} == {
            "karenina": ["index"], "zxolo": ["index"], "xyloph": ["index"], "xyz": ["index"],
        }  # fmt: skip
        assert {q: ways(app, many, q, "breed") for q in ("karenina", "zxolo", "xyloph", "xyz")} == {
            "karenina": ["walk"], "zxolo": ["walk", "index"], "xyloph": ["index"], "xyz": ["index"],
        }  # fmt: skip
        assert {q: ways(app, many, q, "id&user_id=1") for q in ("karenina", "zxolo", "xyloph", "xyz")} == {
            "karenina": ["walk"], "zxolo": ["walk", "index"], "xyloph": ["index"], "xyz": ["index"],
        }  # fmt: skip


def explained(statement: str, values: Any) -> list[dict[str, Any]]:
    """The steps of a statement in which PostgreSQL reads a table or an index, when it runs it."""
    ((plan,),) = database.execute_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", values)
    steps = [plan[0]["Plan"]]
    for step in steps:
        steps.extend(step.get("Plans", ()))
    return [step for step in steps if step["Node Type"].endswith("Scan") and step["Node Type"] != "Subquery Scan"]


def is_by_the_index(steps: list[dict[str, Any]]) -> bool:
    """Whether these steps go to the dogs by the index of the search alone."""
    return {step.get("Index Name") for step in steps if step["Node Type"] == "Bitmap Index Scan"} == {INDEX}


@POSTGRESQL_ONLY
@pytest.mark.usefixtures("engine_has_index")
@pytest.mark.parametrize("query", ["sort=id", "sort=breed", "sort=name&breed=zxoloitz"])
@pytest.mark.parametrize("q", ["xyloph", "xyz"])
def test_postgresql_finds_what_is_rare_by_the_index(app: Flask, many: FlaskClient, q: str, query: str) -> None:
    (steps,) = (explained(*one) for one in statements_on_dogs(app, many, f"q={q}&{query}", limit=20))

    assert is_by_the_index(steps)
    assert sum(step["Actual Rows"] for step in steps if step["Node Type"] == "Bitmap Heap Scan") < 10


@POSTGRESQL_ONLY
@pytest.mark.usefixtures("engine_has_index")
@pytest.mark.parametrize("sort", ["id", "breed"])
def test_postgresql_looks_near_and_then_at_all_that_match(app: Flask, many: FlaskClient, sort: str) -> None:
    near, far = (explained(*one) for one in statements_on_dogs(app, many, f"q=zxoloi&sort={sort}", limit=20))

    assert [step["Actual Rows"] for step in near] == [SHORT_SCAN_ROWS]
    goes_on, *all_that_match = far  # without their order, and here without an index: a third of all dogs match
    assert goes_on["Actual Rows"] == SHORT_SCAN_ROWS + 1
    assert {step["Node Type"] for step in all_that_match} <= {"Seq Scan", "Bitmap Heap Scan", "Bitmap Index Scan"}


@POSTGRESQL_ONLY
@pytest.mark.usefixtures("engine_has_index")
def test_postgresql_goes_further_for_what_is_very_common(app: Flask, anna: FlaskClient) -> None:
    database.execute_sql(
        "INSERT INTO dogs (name, name_key, owner, owner_key, breed, breed_key, version, created_at, user_id)"
        " SELECT name, name, 'o', 'o', 'b', 'b', 1, now(), 1"
        " FROM (SELECT CASE WHEN number > %s THEN 'zxoloitz' ELSE 'rex' END AS name"
        " FROM generate_series(1, %s) AS number) AS dogs",
        (2 * SHORT_SCAN_ROWS, ESTIMATE_THRESHOLD + 3 * SHORT_SCAN_ROWS),
    )
    database.execute_sql("ANALYZE")

    (steps,) = (explained(*one) for one in statements_on_dogs(app, anna, "q=zxoloi", limit=20))

    assert [step["Actual Rows"] for step in steps] == [2 * SHORT_SCAN_ROWS + 21]
    assert found(anna, "zxoloi", 20) == [*range(2 * SHORT_SCAN_ROWS + 1, 2 * SHORT_SCAN_ROWS + 21)]


@POSTGRESQL_ONLY
@pytest.mark.usefixtures("engine_has_index")
def test_postgresql_plans_a_search_for_its_values_however_often_it_is_run(app: Flask, many: FlaskClient) -> None:
    def prepared() -> set[str]:
        return {text for (text,) in database.execute_sql("SELECT statement FROM pg_prepared_statements").fetchall()}

    with database.connection_context():
        for _ in range(10):
            found(many, "xyloph", sort="name")
            found(many, "karenina", sort="name")
        assert not any("LIKE" in text or "strpos" in text.lower() for text in prepared())
        for _ in range(10):
            many.get(DOGS)
        assert any('"dogs"' in text for text in prepared())


@POSTGRESQL_ONLY
@pytest.mark.usefixtures("engine_has_index")
@pytest.mark.parametrize("query", ["q=karenina", "q=karenina&sort=-name", "q=zxolo&sort=-breed"])
def test_postgresql_finds_what_is_common_near(app: Flask, many: FlaskClient, query: str) -> None:
    ((step,),) = (explained(*one) for one in statements_on_dogs(app, many, query, limit=20))

    assert step["Actual Rows"] < 200


@POSTGRESQL_ONLY
@pytest.mark.usefixtures("engine_has_index")
def test_postgresql_does_not_ask_the_index_where_it_has_looked_at_all(app: Flask, many: FlaskClient) -> None:
    breed = Dog.get_by_id(1).breed
    near, far = (explained(*one) for one in statements_on_dogs(app, many, f"q=karenina&breed={breed}", limit=20))

    assert sum(step["Actual Rows"] for step in near) < SHORT_SCAN_ROWS
    assert [step["Actual Loops"] for step in far].count(0) == len(far) - 1  # but for the look how long the list is


@SQLITE_ONLY
def test_sqlite_takes_no_step_for_each_dog(app: Flask, many: FlaskClient) -> None:
    for query in ("q=xyloph", "q=xyz", "q=zxoloitz", "q=karenina", "q=xyz&user_id=1", "q=zxoloitz&user_id=1"):
        statement, values = statements_on_dogs(app, many, query, limit=20)[-1]
        plan = [row[3] for row in database.execute_sql(f"EXPLAIN QUERY PLAN {statement}", values)]
        first, second = plan  # no third one that sorts
        assert "VIRTUAL TABLE INDEX" in first
        assert second.startswith("SEARCH t1 USING INTEGER PRIMARY KEY")


@SQLITE_ONLY
def test_sqlite_asks_for_all_trigrams_since_few_dogs_may_have_one_of_them(app: Flask, many: FlaskClient) -> None:
    for sort in ("id", "name"):  # kar and zxo are common, and often together; all those would be thousands of steps
        assert cost_of(app, many, f"q=karzxo&sort={sort}") < 10 * cost_of(app, many, f"q=xyz&sort={sort}")


# --- Databases without an index ---


def searched_without_index(app: Flask) -> None:
    """Check a search of a database that has none."""
    anna = register(app, "Anna")
    insert(random_texts(random.Random(5), 100))
    dogs = walk(anna, "", 100)
    for q in [*HOSTILE, *random_queries(random.Random(6), dogs, 50)]:
        if q.strip():
            assert found(anna, q, sort="-name") == matching(dogs, q, "-name")
    assert not has_index()


@SQLITE_ONLY
def test_a_sqlite_without_trigrams_searches_without_index(
    make_app: Callable[..., Flask], new_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    execute = peewee.SqliteDatabase.execute_sql

    def other_tokenizer(self: Any, sql: str, params: Any = None) -> Any:
        return execute(self, sql.replace("tokenize='trigram", "tokenize='none_of_this_name"), params)

    monkeypatch.setattr(peewee.SqliteDatabase, "execute_sql", other_tokenizer)
    app = make_app(DATABASE_URL=new_database())
    assert migrations.upgrade(database.obj)

    searched_without_index(app)
    assert not any(table.startswith(INDEX) for table in database.get_tables())
    assert migrations.runner(database.obj).down()


@POSTGRESQL_ONLY
def test_a_postgresql_that_does_not_have_trigrams_searches_without_index(make_app: Callable[..., Flask]) -> None:
    programs, _ = find_postgres(trigrams=False)
    if has_trigrams(programs):
        pytest.skip("each PostgreSQL server of this machine has pg_trgm; the next test is of one that can't add it")
    with Cluster(trigrams=False) as cluster:
        app = make_app(DATABASE_URL=cluster.url("postgres"))
        assert migrations.upgrade(database.obj)

        searched_without_index(app)
        assert migrations.runner(database.obj).down()


@POSTGRESQL_ONLY
def test_a_postgresql_that_may_not_add_trigrams_searches_without_index_until_it_has_one(
    make_app: Callable[..., Flask], new_database: Callable[..., str], databases: Databases
) -> None:
    app = make_app(DATABASE_URL=new_database())
    database.execute_sql("CREATE TYPE gtrgm AS (id int)")  # the extension has one of this name
    assert migrations.upgrade(database.obj)

    searched_without_index(app)

    if is_available(databases):
        database.execute_sql("DROP TYPE gtrgm")
        page = (ROOT / "docs" / "deployment.md").read_text()
        for statement in re.findall(r"`(CREATE [^`]+)`", page):
            database.execute_sql(statement)
        assert has_index()
        ((_, made),) = index_of(database.obj)
        app = make_app()
        ((_, migrated),) = index_of(app.extensions["database"])
        assert made == migrated


# --- Databases that are moved or brought up to date ---


@pytest.mark.usefixtures("engine_has_index")
def test_an_upgrade_makes_the_index_of_the_dogs_that_are_there(anna: FlaskClient) -> None:
    insert(random_texts(random.Random(7), 300))
    dogs = walk(anna, "", 100)
    before = index_of(database.obj)

    while "0003_search_index" not in migrations.runner(database.obj).down():
        pass
    assert index_of(database.obj) == []
    migrations.upgrade(database.obj)

    assert index_of(database.obj) == before
    for q in ("abc", "bca", '"a"', "犬"):
        assert found(anna, q) == matching(dogs, q)


def index_of(at: peewee.Database) -> list[tuple[str, ...]]:
    """What makes the index and keeps it, as the database tells it."""
    if isinstance(at, peewee.SqliteDatabase):
        found = f"SELECT name, sql FROM sqlite_master WHERE name LIKE '{INDEX}%' ORDER BY name"
    else:
        found = f"SELECT indexname, indexdef FROM pg_indexes WHERE indexname = '{INDEX}'"
    return at.execute_sql(found).fetchall()


@pytest.mark.usefixtures("engine_has_index")
def test_a_move_makes_the_index_anew(
    app: Flask, anna: FlaskClient, make_app: Callable[..., Flask], target: str
) -> None:
    insert(random_texts(random.Random(8), 300))
    dogs = walk(anna, "", 100)
    with open_database(target) as there:
        migrations.upgrade(there)
        before = index_of(there)

    assert run(app, "db", "move", "--to", target).exit_code == 0

    client = register(make_app(DATABASE_URL=target), "Bob")
    assert index_of(database.obj) == before != []
    dogs.append(add_dog(client, name="abc"))
    for q in ("abc", "bca", '"a"', "犬"):
        assert found(client, q) == matching(dogs, q)
    if isinstance(database.obj, peewee.SqliteDatabase):
        assert indexed("abc") == matching(dogs, "abc")


def test_a_backup_comes_back_with_its_index(
    app: Flask, anna: FlaskClient, make_app: Callable[..., Flask], new_database: Callable[..., str], tmp_path: Path
) -> None:
    dog = add_dog(anna, name="Waldemar")
    assert run(app, "backup", str(tmp_path / "dogs.backup")).exit_code == 0

    again = make_app(DATABASE_URL=new_database(), UPLOADS_URL=str(tmp_path / "again"))
    assert run(again, "restore", str(tmp_path / "dogs.backup")).exit_code == 0

    assert found(again.test_client(), "ALDEM") == [dog["id"]]
    if isinstance(database.obj, peewee.SqliteDatabase):
        assert indexed("ald") == [dog["id"]]
