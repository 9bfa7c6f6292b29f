"""Pages of dogs by cursor: every order, under changes between the pages, at a cost that does not grow."""

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
from peewee import chunked
from werkzeug.test import TestResponse

from models import Dog, database
from models.casefold import casefold_nfc
from models.dog import with_folded_columns

from .engines import BOTH_ENGINES, SQLITE_ONLY
from .factories import add_dog, api_error, register

pytestmark = BOTH_ENGINES

DOGS = "/api/v1/dogs"
SORTS = [f"{sign}{name}" for name in ("id", "name", "breed", "owner", "created_at") for sign in ("", "-")]
FILTERS = ["name=rex", "owner=REX", "breed=Rex", "user_id=1", "mine=true"]
# The lists whose pages cost the same however many dogs there are.
CHEAP = [*(f"sort={sort}" for sort in SORTS), *FILTERS]
# Few values, so that most rows share theirs with others; some differ in case alone.
TEXTS = ["Rex", "REX", "rex", "Äpfel", "äPFEL", "Zoë", "1", "~"]


def random_rows(chance: random.Random, count: int, texts: Iterable[str] = TEXTS) -> Iterator[dict[str, Any]]:
    """Columns of new dogs, made at one of a few moments, some of which have no fraction of a second."""
    start = datetime(2024, 2, 29, 12, 0, tzinfo=UTC)
    choices = list(texts)
    for _ in range(count):
        words = {field: chance.choice(choices) for field in ("name", "owner", "breed")}
        made = start + timedelta(microseconds=chance.choice([0, 1, 500_000, 1_000_000]))
        yield {**with_folded_columns(words), "version": 1, "created_at": made, "user": 1}


def place_of(dog: dict[str, Any], sort: str) -> tuple[Any, int]:
    """What a dog is sorted by."""
    value = dog[sort.lstrip("-")]
    return (value if sort.endswith(("id", "created_at")) else casefold_nfc(value)), dog["id"]


def get(client: FlaskClient, query: str = "", **more: Any) -> TestResponse:
    """A page of dogs."""
    response = client.get(DOGS, query_string={**dict(parse_qsl(query)), **more})
    assert response.status_code == 200, response.json
    return response


def is_taken(client: FlaskClient, query: str, cursor: str) -> bool:
    """Whether a list takes a cursor, or refuses it by name."""
    response = client.get(DOGS, query_string={**dict(parse_qsl(query)), "cursor": cursor})
    if response.status_code == 200:
        return True
    assert api_error(response) == (422, "validation")
    assert set(response.json["error"]["fields"]) == {"cursor"}
    return False


def pages(client: FlaskClient, query: str, limit: Callable[[], int], most: int = 150) -> Iterator[TestResponse]:
    """All pages, each with a limit of its own. Fails where they would never end."""
    cursor: dict[str, str] = {}
    for _ in range(most):
        page = get(client, query, limit=limit(), **cursor)
        yield page
        if page.json["page"]["next"] is None:
            return
        cursor = {"cursor": page.json["page"]["next"]}
    pytest.fail(f"no end after {most} pages")


def walk(client: FlaskClient, query: str, limit: int) -> list[dict[str, Any]]:
    """The dogs of all pages."""
    return list(chain.from_iterable(page.json["data"] for page in pages(client, query, lambda: limit)))


@pytest.fixture
def crowd(app: Flask, anna: FlaskClient) -> FlaskClient:
    """Anna, with 60 dogs that share their texts and moments."""
    Dog.insert_many(random_rows(random.Random(1), 60)).execute()
    return anna


# --- Order ---


@pytest.mark.parametrize("sort", SORTS)
def test_pages_show_every_dog_once_in_order(crowd: FlaskClient, sort: str) -> None:
    everything = get(crowd, limit=100).json["data"]

    walked = walk(crowd, f"sort={sort}", 7)

    assert walked == sorted(everything, key=lambda dog: place_of(dog, sort), reverse=sort.startswith("-"))


def test_the_default_order_is_by_id(crowd: FlaskClient) -> None:
    ids = [dog["id"] for dog in walk(crowd, "", 25)]

    assert ids == sorted(ids)
    assert len(ids) == 60


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("sort", SORTS)
def test_sees_no_row_twice_and_misses_none_that_stood_throughout(crowd: FlaskClient, sort: str, seed: int) -> None:
    chance = random.Random(f"{sort} {seed}")
    standing = {dog.id for dog in Dog.select(Dog.id)}
    seen: list[dict[str, Any]] = []

    for number, page in enumerate(pages(crowd, f"sort={sort}", lambda: chance.randint(1, 8))):
        seen += page.json["data"]
        if number < 15:  # then they stop, so that the walk can come to its end
            doomed = set(chance.sample(sorted(standing), 2))
            if chance.random() < 0.5:
                doomed.add(seen[-1]["id"])  # the very row that the cursor points at
            standing -= doomed
            with database.atomic():
                Dog.delete().where(Dog.id.in_(doomed)).execute()
                Dog.insert_many(random_rows(chance, chance.randint(1, 4))).execute()

    ids = [dog["id"] for dog in seen]
    places = [place_of(dog, sort) for dog in seen]
    assert len(ids) == len(set(ids))
    assert standing <= set(ids)
    assert places == sorted(places, reverse=sort.startswith("-"))


@pytest.mark.parametrize(
    "query", [*FILTERS, "q=e", "name=rex&sort=-owner", "q=E&sort=created_at", "mine=true&sort=name"]
)
def test_pages_of_a_filtered_list_show_every_match_once(crowd: FlaskClient, query: str) -> None:
    matches = get(crowd, query, limit=100).json["data"]

    assert len(matches) > 10
    assert walk(crowd, query, 4) == matches


# --- `page` and `Link` ---


@pytest.mark.parametrize("path", [DOGS, f"{DOGS}/"])
@pytest.mark.parametrize("public_url", ["", "https://api.example.com"])
def test_page_and_link_name_the_same_next_page(make_app: Callable[..., Flask], path: str, public_url: str) -> None:
    anna = register(make_app(PUBLIC_URL=public_url, PORT=8123), "Anna")
    dogs = [add_dog(anna, name='a&b=c #%+"><é') for _ in range(5)]
    query = {"limit": 2, "sort": "-name", "name": dogs[0]["name"]}

    first = anna.get(path, query_string=query, headers={"Host": "evil.example.net"})

    (link,) = re.findall(r'^<([!#-;=?-~]+)>; rel="next"$', first.headers["Link"])
    parts = urlsplit(link)
    sent = {name: str(value) for name, value in query.items()}
    assert f"{parts.scheme}://{parts.netloc}" == (public_url or "http://localhost:8123")
    assert dict(parse_qsl(parts.query)) == {**sent, "cursor": first.json["page"]["next"]}
    second = anna.get(f"{parts.path}?{parts.query}")
    assert first.json["data"] + second.json["data"] == [dogs[4], dogs[3], dogs[2], dogs[1]]
    assert second.json["page"]["limit"] == 2


@pytest.mark.parametrize(("count", "limit"), [(0, 1), (3, 4), (4, 4), (4, 100)])
def test_the_last_page_has_no_next(anna: FlaskClient, count: int, limit: int) -> None:
    for _ in range(count):
        add_dog(anna)

    response = get(anna, limit=limit)

    assert len(response.json["data"]) == count
    assert response.json["page"] == {"limit": limit, "next": None}
    assert "Link" not in response.headers


def test_a_next_page_is_promised_only_where_there_is_one(crowd: FlaskClient) -> None:
    sizes = [len(page.json["data"]) for page in pages(crowd, "", lambda: 20)]

    assert sizes == [20, 20, 20]


def test_a_list_is_an_array_beside_its_page(crowd: FlaskClient) -> None:
    body = get(crowd, limit=3).json

    assert set(body) == {"data", "page", "status"}
    assert body["status"] == {"code": 200, "message": "Success"}
    assert set(body["page"]) == {"limit", "next"}
    assert [set(dog) for dog in body["data"]] == [{"id", "name", "owner", "breed", "created_at", "user_id"}] * 3


def test_a_head_has_the_link_of_its_get(crowd: FlaskClient) -> None:
    assert crowd.head(f"{DOGS}?limit=1").headers["Link"] == crowd.get(f"{DOGS}?limit=1").headers["Link"]


# --- Limit and sort ---


def test_a_page_has_50_dogs_unless_asked_for_1_to_100(crowd: FlaskClient) -> None:
    Dog.insert_many(random_rows(random.Random(2), 50)).execute()

    for limit, query in [(50, ""), (1, "limit=1"), (100, "limit=100"), (7, "limit=7")]:
        page = get(crowd, query).json
        assert (len(page["data"]), page["page"]["limit"]) == (limit, limit)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("limit", value) for value in ("0", "101", "-1", "", "ten", "1.5", "1e1", "１０", "1_0", " 5", "9" * 5000)],
        *[("sort", value) for value in ("", "--id", "-", "user_id", "name_key", "ID", "id,name", "random()")],
    ],
    ids=lambda text: ascii(text)[:20],
)
def test_returns_422_naming_a_limit_or_sort_out_of_bounds(client: FlaskClient, name: str, value: str) -> None:
    response = client.get(DOGS, query_string={name: value})

    assert api_error(response) == (422, "validation")
    assert set(response.json["error"]["fields"]) == {name}


# --- Cursors ---


@pytest.mark.parametrize("sort", SORTS)
def test_a_cursor_goes_with_any_limit(crowd: FlaskClient, sort: str) -> None:
    everything = get(crowd, f"sort={sort}", limit=100).json["data"]
    cursor = get(crowd, f"sort={sort}", limit=2).json["page"]["next"]

    for limit in (1, 3, 100):
        page = get(crowd, f"sort={sort}", limit=limit, cursor=cursor)
        assert page.json["data"] == everything[2 : 2 + limit]


def test_a_cursor_is_as_good_for_another_client_and_with_the_default_sort_named(
    crowd: FlaskClient, client: FlaskClient
) -> None:
    cursor = get(crowd, limit=2).json["page"]["next"]

    assert get(client, "sort=id", cursor=cursor).json["data"] == get(crowd, limit=52).json["data"][2:]


FORGERIES: dict[str, Callable[[str], str]] = {
    "empty": lambda cursor: "",
    "word": lambda cursor: "2",
    "no-signature": lambda cursor: cursor.rpartition(".")[0],
    "signature-alone": lambda cursor: cursor.rpartition(".")[2],
    "cut-at-the-end": lambda cursor: cursor[:-2],
    "cut-at-the-start": lambda cursor: cursor[2:],
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
    "packed": lambda cursor: ".eJwDAAAAAAE." + cursor.rpartition(".")[2],
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_returns_422_for_a_forged_or_truncated_cursor(crowd: FlaskClient, forge: Callable[[str], str]) -> None:
    cursor = get(crowd, limit=2).json["page"]["next"]

    assert is_taken(crowd, "", cursor)
    assert not is_taken(crowd, "", forge(cursor))


def test_returns_422_for_a_cursor_of_another_list(crowd: FlaskClient) -> None:
    queries = ["", *(f"sort={sort}" for sort in SORTS if sort != "id"), *FILTERS, "q=rex", "q=re", "name=rex&q=rex"]
    cursors = {query: get(crowd, query, limit=2).json["page"]["next"] for query in queries}

    taken = {(made, used) for made in queries for used in queries if is_taken(crowd, used, cursors[made])}

    assert taken == {(query, query) for query in queries}


def test_returns_422_for_a_cursor_that_another_secret_signed(make_app: Callable[..., Flask]) -> None:
    there = register(make_app(SECRET_KEY="another key for the tests, no secret"), "Anna")
    for _ in range(3):
        add_dog(there)
    cursor = get(there, limit=2).json["page"]["next"]

    assert not is_taken(make_app().test_client(), "", cursor)


# --- Cost ---


def statements_on_dogs(app: Flask, client: FlaskClient, query: str, **more: Any) -> list[tuple[str, Any]]:
    """The statements on the table that a page is made with, and their values."""
    seen: list[tuple[str, Any]] = []
    hooks = app.extensions["database"].query_hooks
    hooks.append(lambda event: seen.append((event.sql, event.params)))
    get(client, query, **more)
    hooks.pop()
    return [(statement, values) for statement, values in seen if '"dogs"' in statement]


def cost_of(app: Flask, client: FlaskClient, query: str, **more: Any) -> int:
    """What a page costs, without a clock: tens of steps of SQLite's machine, or rows that PostgreSQL looks at."""
    if isinstance(database.obj, peewee.SqliteDatabase):
        return steps_of(app, client, query, **more)
    return sum(rows_of(*statement) for statement in statements_on_dogs(app, client, query, **more))


def rows_of(statement: str, values: Any) -> int:
    """How many rows PostgreSQL looks at for a statement, where it gets them from."""
    ((explained,),) = database.execute_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", values)
    steps = [explained[0]["Plan"]]
    for step in steps:
        steps.extend(step.get("Plans", ()))
    sources = [step for step in steps if "Plans" not in step]
    return sum(step["Actual Rows"] * step["Actual Loops"] + step.get("Rows Removed by Filter", 0) for step in sources)


def steps_of(app: Flask, client: FlaskClient, query: str, **more: Any) -> int:
    """How many times ten steps SQLite's machine takes for a page."""
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    connection = app.extensions["database"].connection()
    connection.set_progress_handler(count, 10)
    try:
        get(client, query, **more)
    finally:
        connection.set_progress_handler(None, 0)
    return steps


def grow(to: int) -> None:
    """Fill the table up to so many rows, a third of which share each text."""
    rows = list(random_rows(random.Random(to), to - Dog.select().count(), ["Ajax", "Rex", "Zorro"]))
    with database.atomic():
        for batch in chunked(rows, 500):
            Dog.insert_many(batch).execute()
    database.execute_sql("ANALYZE")


def plan_of(statement: str, values: Any) -> list[str]:
    """How SQLite goes about a statement, step by step."""
    return [row[3] for row in database.execute_sql(f"EXPLAIN QUERY PLAN {statement}", values)]


@SQLITE_ONLY  # PostgreSQL plans by what is in the table
def test_no_page_scans_or_sorts_the_table(app: Flask, anna: FlaskClient) -> None:
    grow(3000)
    dear: dict[str, list[str]] = {}

    for query in CHEAP:
        cursor = get(anna, query).json["page"]["next"]
        first = statements_on_dogs(app, anna, query)
        later = statements_on_dogs(app, anna, query, cursor=cursor)
        assert first
        assert later
        for statement in first + later:
            plan = plan_of(*statement)
            scans = [step for step in plan if step.startswith("SCAN")]
            # The first page of all dogs walks an index, or the table by its ids, until the page is full.
            in_order = query.endswith("id") or all("USING INDEX" in step for step in scans)
            may_walk = query.startswith("sort=") and statement in first and in_order
            if any("TEMP B-TREE" in step for step in plan) or (scans and not may_walk):
                dear[query] = plan

    assert dear == {}


def test_the_cost_of_a_page_does_not_grow_with_the_table(app: Flask, anna: FlaskClient) -> None:
    def dearest(query: str) -> int:
        # The worst place is deep among many equal values, so the list is looked at from one end to the other.
        cursors = [page.json["page"]["next"] for page in pages(anna, query, lambda: 100)]
        places = [{}, *({"cursor": cursor} for cursor in cursors if cursor)]
        return max(cost_of(app, anna, query, limit=20, **place) for place in places)

    grow(700)
    before = {query: dearest(query) for query in CHEAP}
    grow(2800)
    after = {query: dearest(query) for query in CHEAP}

    assert {query: (before[query], after[query]) for query in CHEAP if after[query] > 1.2 * before[query]} == {}


@pytest.mark.parametrize("query", ["name=ajax", "name=ajax&sort=-id", "user_id=2&sort=-id", "mine=true&sort=-id"])
def test_a_page_costs_as_much_where_all_that_fit_are_at_one_end(
    app: Flask, anna: FlaskClient, bob: FlaskClient, query: str
) -> None:
    def insert(count: int, user: int, names: list[str]) -> None:
        rows = random_rows(random.Random(1), count, names)
        Dog.insert_many([{**row, "user": user} for row in rows]).execute()
        database.execute_sql("ANALYZE")

    def dearest() -> int:
        cursors = [page.json["page"]["next"] for page in pages(bob, query, lambda: 100)]
        places = [{}, *({"cursor": cursor} for cursor in cursors if cursor)]
        return max(cost_of(app, bob, query, limit=20, **place) for place in places)

    insert(910, 2, ["Ajax"])
    before = dearest()
    insert(2000, 1, ["Rex", "Zorro"])

    assert dearest() <= before * 1.2
