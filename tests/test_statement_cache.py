"""The statement cache: compiled statements return and store what plain queries do, on both engines."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import peewee
import pytest
from flask import Flask
from flask.testing import FlaskClient

from models import Dog, Session, User, cached_statement, close_connections, connect, database, migrations
from models.base import utc_now
from models.casefold import casefold_nfc
from models.db.keyset import ListQuery
from models.db.statements import Statement
from models.session import hash_key, select_active_session

from .engines import BOTH_ENGINES
from .factories import add_dog, assigned_characters, register, run_concurrently, trace_sql
from .transfer_fixtures import SAMPLE_TEXTS

pytestmark = BOTH_ENGINES

DOGS = "/api/v1/dogs"


@pytest.fixture
def anna_row(app: Flask, anna: FlaskClient) -> User:
    """The row of Anna's account."""
    return User.get(User.username == "Anna")


@pytest.fixture
def other_engine(
    engine: str, app: Flask, postgresql: None, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Callable[[], peewee.Database]]:
    """Switch the models to a migrated, empty database of the other engine."""
    databases = request.getfixturevalue("databases") if engine == "sqlite" else None
    url = databases.create() if databases else f"sqlite:///{tmp_path / 'other.sqlite'}"
    opened: list[peewee.Database] = []

    def turn() -> peewee.Database:
        opened.append(connect(url))
        migrations.upgrade(opened[-1])
        return opened[-1]

    yield turn
    for each in opened:
        close_connections(each)
    database.initialize(app.extensions["database"])
    if databases:
        databases.drop(url)


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the SQL that is compiled from now on."""
    texts: list[str] = []

    class Noted(Statement):
        def __init__(self, query: Any) -> None:
            super().__init__(query)
            texts.append(self.sql)

    monkeypatch.setitem(cached_statement.__globals__, "Statement", Noted)
    return texts


def counted() -> tuple[Callable[..., list[Any]], list[tuple[Any, ...]]]:
    """Return a cached statement that selects dogs, and the list of shapes that it was compiled for."""
    shapes: list[tuple[Any, ...]] = []

    @cached_statement
    def dogs(model: type[Dog], order: str = "id", **equal: Any) -> peewee.Query:
        shapes.append((model, order, *equal))
        conditions = [model._meta.fields[name] == value for name, value in equal.items()]
        return model.select().where(True, *conditions).order_by(model._meta.fields[order])

    return dogs, shapes


# --- Compilation ---


def test_query_shape_is_compiled_once_for_all_values(anna: FlaskClient) -> None:
    dogs, shapes = counted()
    ids = {name: add_dog(anna, name=name)["id"] for name in ("Rex", "Max", "Bello")}

    for name in ("Rex", "Max", "Nobody", "Bello", "Rex"):
        assert [row.id for row in dogs(Dog, name=name)] == [row_id for each, row_id in ids.items() if each == name]

    assert shapes == [(Dog, "id", "name")]


def test_other_shape_compiles_other_sql(anna: FlaskClient) -> None:
    dogs, shapes = counted()
    for name in ("B", "A"):
        add_dog(anna, name=name)

    for _ in range(3):
        assert [row.name for row in dogs(Dog, "id")] == ["B", "A"]
        assert [row.name for row in dogs(Dog, "name")] == ["A", "B"]
        assert [row.name for row in dogs(Dog, name="A")] == ["A"]
        assert [row.name for row in dogs(Dog, breed="A")] == []
        assert dogs(Dog, name="A", breed="Poodle") == dogs(Dog, breed="Poodle", name="A") != []

    assert len(shapes) == 6


def test_repeated_requests_compile_no_sql(app: Flask, anna: FlaskClient, compiled: list[str]) -> None:
    def use(client: FlaskClient, number: int) -> None:
        dog = add_dog(client, name=f"Rex {number}")
        path = f"{DOGS}/{dog['id']}"
        assert client.get(path).json["data"] == dog
        assert client.patch(path, json={"name": f"Max {number}"}).status_code == 200
        assert client.patch(path, json={"breed": f"B{number}"}, headers={"If-Match": "*"}).status_code == 200
        assert client.get("/user/profile").status_code == 200
        add_dog(client, name=f"Max {number}", breed=f"B{number}")
        for query in ("sort=name", f"sort=-name&breed=b{number}", f"q=x%20{number}", "mine=true&sort=created_at"):
            page = client.get(f"{DOGS}?limit=1&{query}").json
            assert client.get(f"{DOGS}?limit=1&{query}&cursor={page['page']['next']}").json["data"] != page["data"]
        assert client.delete(path).status_code == 200

    use(anna, 11)
    bob = register(app, "Bob")
    compiled.clear()
    for number in range(12, 15):
        use(bob, number)

    assert compiled == []


def test_concurrent_first_use_returns_own_rows(app: Flask, anna: FlaskClient) -> None:
    ids = [add_dog(anna, name=f"Dog {number}")["id"] for number in range(8)]
    for _ in range(10):
        dogs, _shapes = counted()
        found = run_concurrently(app, *[partial(dogs, Dog, name=f"Dog {number}") for number in range(8)])

        assert [[row.id for row in rows] for rows in found] == [[row_id] for row_id in ids]


def list_dogs(order: Any) -> Any:
    return order


def local_function() -> Any:
    def order(rows: Any) -> Any:
        return rows

    return order


@cached_statement
def dogs_by(shape: Any, strategy: Any = None) -> peewee.Query:
    return Dog.select().order_by(Dog.id)


PER_CALL: dict[str, Callable[[], Any]] = {
    "a lambda": lambda: lambda order: order,
    "a local function": local_function,
    "a lambda in a partial": lambda: partial(lambda order: order, 1),
    "a partial": lambda: partial(list_dogs, 1),
    "an object": object,
    "a lambda in a list query": lambda: ListQuery(Dog, lambda order, part: order, False, (), Dog.id, Dog.id, False),
}


@pytest.mark.parametrize("argument", PER_CALL)
def test_an_argument_that_defeats_the_cache_raises(app: Flask, argument: str) -> None:
    value = PER_CALL[argument]()

    for shape in ((value,), ("id", value), (("id", (value,)),)):
        with pytest.raises(TypeError, match=r"dogs_by\(\) would build its SQL again .* defined at module level"):
            dogs_by(*shape)


@pytest.mark.parametrize(
    "shape",
    [Dog, "id", None, True, 7, Dog.id, list_dogs, Dog.select, len, ("id", (Dog, list_dogs))],
    ids=["model", "text", "none", "bool", "int", "column", "function", "classmethod", "built-in", "tuple"],
)
def test_an_argument_that_is_the_same_in_each_call_is_accepted(app: Flask, shape: Any) -> None:
    assert dogs_by(shape, strategy=1) == dogs_by(shape, strategy=2) == []


# --- Values ---


def test_values_are_converted_by_their_column(anna: FlaskClient) -> None:
    dogs, _ = counted()
    dog = Dog.find(add_dog(anna, name="STRASSE")["id"])
    moment = dog.created_at.astimezone(timezone(timedelta(hours=-9, minutes=-30)))

    for equal in ({"name_key": "straße"}, {"created_at": moment}, {"user": dog.user}, {"user": dog.user_id}):
        assert [row.id for row in dogs(Dog, **equal)] == [dog.id], equal
    for unequal in ({"name_key": "strase"}, {"created_at": moment + timedelta(microseconds=1)}, {"name": "straße"}):
        assert dogs(Dog, **unequal) == [], unequal


def test_rows_are_namedtuples_of_stored_values(app: Flask, anna_row: User) -> None:
    session = Session.start(anna_row, remember=True)
    dogs, _ = counted()
    made = Dog.create_for(anna_row, "Rex", "Poodle", "ANNA")

    (row,) = dogs(Dog)
    assert isinstance(row, tuple)
    assert row._fields == tuple(field.column_name for field in Dog._meta.sorted_fields)
    assert (row.id, row.name, row.owner, row.owner_key, row.user_id) == (made.id, "Rex", "ANNA", "anna", anna_row.id)
    assert (type(row.created_at), row.created_at.tzinfo) == (datetime, UTC)
    assert row.created_at == made.created_at == Dog.get().created_at
    (both,) = select_active_session(key_hash=hash_key(session.key), now=utc_now())
    for place, column in enumerate([*Session._meta.sorted_fields, *User._meta.sorted_fields]):
        owner = Session if place < len(Session._meta.sorted_fields) else User
        expected = owner.get_by_id(session.id if owner is Session else anna_row.id).__data__[column.name]
        assert (both[place], type(both[place])) == (expected, type(expected)), column


def test_default_timestamp_is_that_of_the_insert(anna_row: User) -> None:
    for _ in range(3):
        before = utc_now()
        dog = Dog.create_for(anna_row, "Rex", "Poodle", "Anna")
        assert before <= dog.created_at <= utc_now()
        assert Dog.find(dog.id).created_at == dog.created_at


@pytest.mark.parametrize("given", [{"version": 7}, {"created_at": datetime(2020, 1, 1, tzinfo=UTC)}], ids=str)
def test_given_value_overrides_default_once(anna_row: User, given: dict[str, Any]) -> None:
    texts = {f"{name}{key}": "rex" for name in ("name", "owner", "breed") for key in ("", "_key")}
    (name,) = given

    made = [Dog.create(user=anna_row, **texts, **fields) for fields in ({}, given, {})]

    assert getattr(made[1], name) == given[name]
    assert given[name] not in (getattr(made[0], name), getattr(made[2], name))


def test_hostile_values_are_bound_not_interpolated(anna_row: User) -> None:
    dogs, shapes = counted()
    made = [Dog.create_for(anna_row, text, "Poodle", "Anna") for text in SAMPLE_TEXTS]

    for dog, text in zip(made, SAMPLE_TEXTS, strict=True):
        assert dog.name == text
        assert [row.id for row in dogs(Dog, name=text)] == [dog.id]
        assert {casefold_nfc(row.name) for row in dogs(Dog, name_key=text)} == {casefold_nfc(text)}
        assert dog.update_fields({"breed": text}).breed == text
        assert [row.id for row in dogs(Dog, breed=text)] == [dog.id]
    assert Dog.select().count() == len(SAMPLE_TEXTS)
    assert len(shapes) == 3


def test_cached_sql_contains_no_values(app: Flask, anna_row: User) -> None:
    texts: list[str] = []

    with trace_sql(app, texts.append):
        dog = Dog.create_for(anna_row, "Xyloph", "Xyloph", "Xyloph").update_fields({"name": "Xylophon"})
        Dog.find(dog.id).delete_row(dog.version)

    assert len(texts) >= 4
    assert not any("xylo" in text.lower() for text in texts)


# --- Rows ---


def test_nested_statement_keeps_outer_rows(app: Flask, anna_row: User) -> None:
    made = [Dog.create_for(anna_row, f"Rex {number}", "Poodle", "Anna") for number in range(5)]
    dogs, _ = counted()

    with database.atomic():
        for dog in Dog.select().order_by(Dog.id).iterator():
            assert [row.id for row in dogs(Dog, name=dog.name)] == [dog.id]
            assert Dog.find(dog.id).update_fields({"breed": "Pug"}).id == dog.id
            made.remove(dog)

    assert made == []


def test_statement_after_an_error_returns_own_rows(app: Flask, anna_row: User) -> None:
    dog = Dog.create_for(anna_row, "Rex", "Poodle", "Anna")

    with pytest.raises(peewee.IntegrityError):
        User.create(**anna_row.__data__)

    assert Dog.find(dog.id).name == "Rex"


# --- Engines ---


def test_each_engine_has_its_own_sql(app: Flask, anna_row: User, other_engine: Callable[[], peewee.Database]) -> None:
    dogs, shapes = counted()
    account = anna_row.__data__ | {"username": "Bob", "username_key": "bob"}
    here = Dog.create_for(anna_row, "Rex", "Poodle", "Anna")
    assert [row.id for row in dogs(Dog, name="Rex")] == [here.id]
    other = other_engine()
    bob = User.create(**account)

    for number in range(3):
        database.initialize(other)
        there = Dog.create_for(bob, f"Max {number}", "Poodle", "Bob").update_fields({"owner": "ROBERT"})
        assert [(row.id, row.owner_key, row.created_at) for row in dogs(Dog, name=f"Max {number}")] == [
            (there.id, "robert", there.created_at)
        ]
        assert dogs(Dog, name="Rex") == []

        database.initialize(app.extensions["database"])
        assert [(row.id, row.created_at) for row in dogs(Dog, name="Rex")] == [(here.id, here.created_at)]
        assert dogs(Dog, created_at=here.created_at) == dogs(Dog, name_key="REX") != []
        assert dogs(Dog, name=f"Max {number}") == []

    assert len(shapes) == 4  # by name on both engines, by timestamp and key on one
    database.initialize(other)
    dogs(Dog, created_at=utc_now())
    assert len(shapes) == 5


# --- Case folding ---


@pytest.mark.no_cover
def test_casefolding_is_idempotent() -> None:
    characters = assigned_characters()
    keys = [casefold_nfc(text) for text in characters]
    assert [ascii(key) for key in keys if casefold_nfc(key) != key] == []

    odd = [text for text, key in zip(characters, keys, strict=True) if text != key]
    chance = random.Random(5)
    mixed = [casefold_nfc("".join(chance.choices(odd, k=3) + chance.choices(characters, k=2))) for _ in range(20_000)]
    assert [ascii(key) for key in mixed if casefold_nfc(key) != key] == []
