"""Keyset pagination of dogs: sort orders, writes between pages, cursors, and a cost independent of table size."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import peewee
import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from models import Dog, database
from models.casefold import casefold_nfc
from models.dog import with_folded_columns

from .engines import BOTH_ENGINES, SQLITE_ONLY
from .factories import add_dog, api_error, insert_dogs, register

pytestmark = BOTH_ENGINES

DOGS = "/api/v1/dogs"
SORT_ORDERS = [f"{sign}{name}" for name in ("id", "name", "breed", "owner", "created_at") for sign in ("", "-")]
FILTERS = ["name=rex", "owner=REX", "breed=Rex", "user_id=1", "mine=true"]
# The queries whose cost per page does not depend on the number of dogs.
INDEXED_QUERIES = [*(f"sort={sort}" for sort in SORT_ORDERS), *FILTERS]
# Few values, so that most rows have ties; some differ only in case.
TEXTS = ["Rex", "REX", "rex", "Äpfel", "äPFEL", "Zoë", "1", "~"]


def random_rows(rng: random.Random, count: int, texts: Iterable[str] = TEXTS) -> Iterator[dict[str, Any]]:
    """Yield rows with one of a few timestamps, some of them without fractional seconds."""
    start = datetime(2024, 2, 29, 12, 0, tzinfo=UTC)
    choices = list(texts)
    for _ in range(count):
        fields = {field: rng.choice(choices) for field in ("name", "owner", "breed")}
        created = start + timedelta(microseconds=rng.choice([0, 1, 500_000, 1_000_000]))
        yield {**with_folded_columns(fields), "version": 1, "created_at": created, "user": 1}


def sort_key(dog: dict[str, Any], sort: str) -> tuple[Any, int]:
    """Return the key that a dog is sorted by."""
    value = dog[sort.lstrip("-")]
    return (value if sort.endswith(("id", "created_at")) else casefold_nfc(value)), dog["id"]


def get_page(client: FlaskClient, query: str = "", **params: Any) -> TestResponse:
    """Return a page of dogs."""
    response = client.get(DOGS, query_string={**dict(parse_qsl(query)), **params})
    assert response.status_code == 200, response.json
    return response


def is_cursor_accepted(client: FlaskClient, query: str, cursor: str) -> bool:
    """Return whether a list accepts a cursor. Otherwise it must return 422 for `cursor`."""
    response = client.get(DOGS, query_string={**dict(parse_qsl(query)), "cursor": cursor})
    if response.status_code == 200:
        return True
    assert api_error(response) == (422, "validation")
    assert set(response.json["error"]["fields"]) == {"cursor"}
    return False


def iter_pages(
    client: FlaskClient, query: str, limit: Callable[[], int], max_pages: int = 150
) -> Iterator[TestResponse]:
    """Yield all pages; `limit` returns the limit of each. Fail after `max_pages` pages."""
    cursor: dict[str, str] = {}
    for _ in range(max_pages):
        page = get_page(client, query, limit=limit(), **cursor)
        yield page
        if page.json["page"]["next"] is None:
            return
        cursor = {"cursor": page.json["page"]["next"]}
    pytest.fail(f"more than {max_pages} pages")


def fetch_all(client: FlaskClient, query: str, limit: int) -> list[dict[str, Any]]:
    """Return the dogs of all pages."""
    return list(chain.from_iterable(page.json["data"] for page in iter_pages(client, query, lambda: limit)))


@pytest.fixture
def anna_with_dogs(app: Flask, anna: FlaskClient) -> FlaskClient:
    """Anna's client, with 60 dogs that share texts and timestamps."""
    Dog.insert_many(random_rows(random.Random(1), 60)).execute()
    return anna


# --- Order ---


@pytest.mark.parametrize("sort", SORT_ORDERS)
def test_pages_contain_every_dog_once_in_order(anna_with_dogs: FlaskClient, sort: str) -> None:
    all_dogs = get_page(anna_with_dogs, limit=100).json["data"]

    paged = fetch_all(anna_with_dogs, f"sort={sort}", 7)

    assert paged == sorted(all_dogs, key=lambda dog: sort_key(dog, sort), reverse=sort.startswith("-"))


def test_default_sort_is_by_id(anna_with_dogs: FlaskClient) -> None:
    ids = [dog["id"] for dog in fetch_all(anna_with_dogs, "", 25)]

    assert ids == sorted(ids)
    assert len(ids) == 60


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("sort", SORT_ORDERS)
def test_pagination_is_stable_under_writes(anna_with_dogs: FlaskClient, sort: str, seed: int) -> None:
    rng = random.Random(f"{sort} {seed}")
    permanent = {dog.id for dog in Dog.select(Dog.id)}
    rows: list[dict[str, Any]] = []

    for number, page in enumerate(iter_pages(anna_with_dogs, f"sort={sort}", lambda: rng.randint(1, 8))):
        rows += page.json["data"]
        if number < 15:  # then writes stop, so that the pages come to an end
            deleted = set(rng.sample(sorted(permanent), 2))
            if rng.random() < 0.5:
                deleted.add(rows[-1]["id"])  # the row that the cursor points at
            permanent -= deleted
            with database.atomic():
                Dog.delete().where(Dog.id.in_(deleted)).execute()
                Dog.insert_many(random_rows(rng, rng.randint(1, 4))).execute()

    ids = [dog["id"] for dog in rows]
    keys = [sort_key(dog, sort) for dog in rows]
    assert len(ids) == len(set(ids))
    assert permanent <= set(ids)
    assert keys == sorted(keys, reverse=sort.startswith("-"))


@pytest.mark.parametrize(
    "query", [*FILTERS, "q=e", "name=rex&sort=-owner", "q=E&sort=created_at", "mine=true&sort=name"]
)
def test_filtered_pages_contain_every_match_once(anna_with_dogs: FlaskClient, query: str) -> None:
    matches = get_page(anna_with_dogs, query, limit=100).json["data"]

    assert len(matches) > 10
    assert fetch_all(anna_with_dogs, query, 4) == matches


# --- `page` and `Link` ---


@pytest.mark.parametrize("path", [DOGS, f"{DOGS}/"])
@pytest.mark.parametrize("public_url", ["", "https://api.example.com"])
def test_link_header_and_page_have_same_cursor(make_app: Callable[..., Flask], path: str, public_url: str) -> None:
    anna = register(make_app(PUBLIC_URL=public_url, PORT=8123), "Anna")
    dogs = [add_dog(anna, name='a&b=c #%+"><é') for _ in range(5)]
    query = {"limit": 2, "sort": "-name", "name": dogs[0]["name"]}

    first = anna.get(path, query_string=query, headers={"Host": "evil.example.net"})

    (link,) = re.findall(r'^<([!#-;=?-~]+)>; rel="next"$', first.headers["Link"])
    parts = urlsplit(link)
    expected = {name: str(value) for name, value in query.items()}
    assert f"{parts.scheme}://{parts.netloc}" == (public_url or "http://localhost:8123")
    assert dict(parse_qsl(parts.query)) == {**expected, "cursor": first.json["page"]["next"]}
    second = anna.get(f"{parts.path}?{parts.query}")
    assert first.json["data"] + second.json["data"] == [dogs[4], dogs[3], dogs[2], dogs[1]]
    assert second.json["page"]["limit"] == 2


@pytest.mark.parametrize(("count", "limit"), [(0, 1), (3, 4), (4, 4), (4, 100)])
def test_last_page_has_no_next(anna: FlaskClient, count: int, limit: int) -> None:
    for _ in range(count):
        add_dog(anna)

    response = get_page(anna, limit=limit)

    assert len(response.json["data"]) == count
    assert response.json["page"] == {"limit": limit, "next": None}
    assert "Link" not in response.headers


def test_full_last_page_has_no_next(anna_with_dogs: FlaskClient) -> None:
    sizes = [len(page.json["data"]) for page in iter_pages(anna_with_dogs, "", lambda: 20)]

    assert sizes == [20, 20, 20]


def test_list_envelope_shape(anna_with_dogs: FlaskClient) -> None:
    body = get_page(anna_with_dogs, limit=3).json

    assert set(body) == {"data", "page", "status"}
    assert body["status"] == {"code": 200, "message": "Success"}
    assert set(body["page"]) == {"limit", "next"}
    assert [set(dog) for dog in body["data"]] == [{"id", "name", "owner", "breed", "created_at", "user_id"}] * 3


def test_head_has_same_link_as_get(anna_with_dogs: FlaskClient) -> None:
    assert (
        anna_with_dogs.head(f"{DOGS}?limit=1").headers["Link"] == anna_with_dogs.get(f"{DOGS}?limit=1").headers["Link"]
    )


# --- Limit and sort ---


def test_limit_defaults_to_50_and_accepts_1_to_100(anna_with_dogs: FlaskClient) -> None:
    Dog.insert_many(random_rows(random.Random(2), 50)).execute()

    for limit, query in [(50, ""), (1, "limit=1"), (100, "limit=100"), (7, "limit=7")]:
        page = get_page(anna_with_dogs, query).json
        assert (len(page["data"]), page["page"]["limit"]) == (limit, limit)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("limit", value) for value in ("0", "101", "-1", "", "ten", "1.5", "1e1", "１０", "1_0", " 5", "9" * 5000)],
        *[("sort", value) for value in ("", "--id", "-", "user_id", "name_key", "ID", "id,name", "random()")],
    ],
    ids=lambda text: ascii(text)[:20],
)
def test_invalid_limit_or_sort_returns_422(client: FlaskClient, name: str, value: str) -> None:
    response = client.get(DOGS, query_string={name: value})

    assert api_error(response) == (422, "validation")
    assert set(response.json["error"]["fields"]) == {name}


# --- Cursors ---


@pytest.mark.parametrize("sort", SORT_ORDERS)
def test_cursor_works_with_any_limit(anna_with_dogs: FlaskClient, sort: str) -> None:
    all_dogs = get_page(anna_with_dogs, f"sort={sort}", limit=100).json["data"]
    cursor = get_page(anna_with_dogs, f"sort={sort}", limit=2).json["page"]["next"]

    for limit in (1, 3, 100):
        page = get_page(anna_with_dogs, f"sort={sort}", limit=limit, cursor=cursor)
        assert page.json["data"] == all_dogs[2 : 2 + limit]


def test_cursor_works_for_other_client_and_explicit_sort(anna_with_dogs: FlaskClient, client: FlaskClient) -> None:
    cursor = get_page(anna_with_dogs, limit=2).json["page"]["next"]

    assert (
        get_page(client, "sort=id", cursor=cursor).json["data"] == get_page(anna_with_dogs, limit=52).json["data"][2:]
    )


FORGED_CURSORS: dict[str, Callable[[str], str]] = {
    "empty": lambda cursor: "",
    "word": lambda cursor: "2",
    "no-signature": lambda cursor: cursor.rpartition(".")[0],
    "only-signature": lambda cursor: cursor.rpartition(".")[2],
    "truncated-end": lambda cursor: cursor[:-2],
    "truncated-start": lambda cursor: cursor[2:],
    "twice": lambda cursor: cursor * 2,
    "other-payload": lambda cursor: "WzEsMV0." + cursor.rpartition(".")[2],
    "other-signature": lambda cursor: cursor.rpartition(".")[0] + "." + "A" * 27,
    "first-letter": lambda cursor: chr(ord(cursor[0]) ^ 1) + cursor[1:],
    "upper-case": str.upper,
    "not-ascii": lambda cursor: "é" + cursor,
    "nul": lambda cursor: "\0",
    "not-utf-8": lambda cursor: "\ufffd.\ufffd",
    "dots": lambda cursor: "..." + cursor,
    "long": lambda cursor: "A" * 10_000,
    "compressed": lambda cursor: ".eJwDAAAAAAE." + cursor.rpartition(".")[2],
}


@pytest.mark.parametrize("forge", FORGED_CURSORS.values(), ids=FORGED_CURSORS)
def test_forged_or_truncated_cursor_returns_422(anna_with_dogs: FlaskClient, forge: Callable[[str], str]) -> None:
    cursor = get_page(anna_with_dogs, limit=2).json["page"]["next"]

    assert is_cursor_accepted(anna_with_dogs, "", cursor)
    assert not is_cursor_accepted(anna_with_dogs, "", forge(cursor))


def test_cursor_of_other_query_returns_422(anna_with_dogs: FlaskClient) -> None:
    queries = [
        "",
        *(f"sort={sort}" for sort in SORT_ORDERS if sort != "id"),
        *FILTERS,
        "q=rex",
        "q=re",
        "name=rex&q=rex",
    ]
    cursors = {query: get_page(anna_with_dogs, query, limit=2).json["page"]["next"] for query in queries}

    accepted = {
        (origin, query)
        for origin in queries
        for query in queries
        if is_cursor_accepted(anna_with_dogs, query, cursors[origin])
    }

    assert accepted == {(query, query) for query in queries}


def test_cursor_signed_by_other_secret_returns_422(make_app: Callable[..., Flask]) -> None:
    other = register(make_app(SECRET_KEY="another key for the tests, no secret"), "Anna")
    for _ in range(3):
        add_dog(other)
    cursor = get_page(other, limit=2).json["page"]["next"]

    assert not is_cursor_accepted(make_app().test_client(), "", cursor)


# --- Cost ---


def capture_dog_queries(app: Flask, client: FlaskClient, query: str, **params: Any) -> list[tuple[str, Any]]:
    """Request a page; return the statements on the table of dogs and their parameters."""
    statements: list[tuple[str, Any]] = []
    hooks = app.extensions["database"].query_hooks
    hooks.append(lambda event: statements.append((event.sql, event.params)))
    get_page(client, query, **params)
    hooks.pop()
    return [(statement, values) for statement, values in statements if '"dogs"' in statement]


def measure_cost(app: Flask, client: FlaskClient, query: str, **params: Any) -> int:
    """Return the cost of a page without a clock: tens of SQLite VM steps, or rows read by PostgreSQL."""
    if isinstance(database.obj, peewee.SqliteDatabase):
        return count_vm_steps(app, client, query, **params)
    return sum(count_rows(*statement) for statement in capture_dog_queries(app, client, query, **params))


def count_rows(statement: str, values: Any) -> int:
    """Return the number of rows that the leaf nodes of PostgreSQL's plan read."""
    ((explained,),) = database.execute_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", values)
    steps = [explained[0]["Plan"]]
    for step in steps:
        steps.extend(step.get("Plans", ()))
    sources = [step for step in steps if "Plans" not in step]
    return sum(step["Actual Rows"] * step["Actual Loops"] + step.get("Rows Removed by Filter", 0) for step in sources)


def count_vm_steps(app: Flask, client: FlaskClient, query: str, **params: Any) -> int:
    """Return the number of SQLite VM steps for a page, in tens."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection = app.extensions["database"].connection()
    connection.set_progress_handler(count, 10)
    try:
        get_page(client, query, **params)
    finally:
        connection.set_progress_handler(None, 0)
    return steps


def grow(to: int) -> None:
    """Fill the table up to this many rows, with a third of them sharing each text."""
    rows = list(random_rows(random.Random(to), to - Dog.select().count(), ["Ajax", "Rex", "Zorro"]))
    insert_dogs(rows)
    database.execute_sql("ANALYZE")


def explain(statement: str, values: Any) -> list[str]:
    """Return SQLite's query plan, step by step."""
    return [row[3] for row in database.execute_sql(f"EXPLAIN QUERY PLAN {statement}", values)]


@SQLITE_ONLY  # PostgreSQL's plans depend on the data
def test_no_page_scans_or_sorts_the_table(app: Flask, anna: FlaskClient) -> None:
    grow(3000)
    violations: dict[str, list[str]] = {}

    for query in INDEXED_QUERIES:
        cursor = get_page(anna, query).json["page"]["next"]
        first = capture_dog_queries(app, anna, query)
        later = capture_dog_queries(app, anna, query, cursor=cursor)
        assert first
        assert later
        for statement in first + later:
            plan = explain(*statement)
            scans = [step for step in plan if step.startswith("SCAN")]
            # The first page of all dogs scans an index, or the table by id, until the page is full.
            in_order = query.endswith("id") or all("USING INDEX" in step for step in scans)
            may_scan = query.startswith("sort=") and statement in first and in_order
            if any("TEMP B-TREE" in step for step in plan) or (scans and not may_scan):
                violations[query] = plan

    assert violations == {}


def test_page_cost_is_independent_of_table_size(app: Flask, anna: FlaskClient) -> None:
    def max_cost(query: str) -> int:
        # The worst case is deep among many ties, so every page is measured.
        cursors = [page.json["page"]["next"] for page in iter_pages(anna, query, lambda: 100)]
        pages = [{}, *({"cursor": cursor} for cursor in cursors if cursor)]
        return max(measure_cost(app, anna, query, limit=20, **params) for params in pages)

    grow(700)
    before = {query: max_cost(query) for query in INDEXED_QUERIES}
    grow(2800)
    after = {query: max_cost(query) for query in INDEXED_QUERIES}

    assert {
        query: (before[query], after[query]) for query in INDEXED_QUERIES if after[query] > 1.2 * before[query]
    } == {}


@pytest.mark.parametrize("query", ["name=ajax", "name=ajax&sort=-id", "user_id=2&sort=-id", "mine=true&sort=-id"])
def test_page_cost_is_independent_of_match_position(
    app: Flask, anna: FlaskClient, bob: FlaskClient, query: str
) -> None:
    def insert(count: int, user: int, names: list[str]) -> None:
        rows = random_rows(random.Random(1), count, names)
        Dog.insert_many([{**row, "user": user} for row in rows]).execute()
        database.execute_sql("ANALYZE")

    def max_cost() -> int:
        cursors = [page.json["page"]["next"] for page in iter_pages(bob, query, lambda: 100)]
        pages = [{}, *({"cursor": cursor} for cursor in cursors if cursor)]
        return max(measure_cost(app, bob, query, limit=20, **params) for params in pages)

    insert(910, 2, ["Ajax"])
    before = max_cost()
    insert(2000, 1, ["Rex", "Zorro"])

    assert max_cost() <= before * 1.2
