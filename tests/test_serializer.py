"""What leaves by the fast way is what the schema itself would send: for every schema, and whatever a row holds."""

from __future__ import annotations

import random
from collections import UserDict, namedtuple
from datetime import UTC, datetime, timedelta, timezone
from enum import IntEnum
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from marshmallow import Schema, fields, missing, post_dump, pre_dump

import schemas
from models import Dog, User
from models.base import select_by_id
from schemas import DogSchema, PrivateUserSchema, PublicUserSchema, SchemaContext, compile_dump

from .engines import BOTH_ENGINES
from .factories import add_dog

SCHEMAS = [each for each in vars(schemas).values() if isinstance(each, type) and issubclass(each, Schema)]
MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
PICTURE = SimpleNamespace(image="a.webp", files=["a.webp", "b.webp"], width=1, height=2, is_default=True)
GOOD: dict[str, Any] = {
    "Integer": 7,
    "Boolean": False,
    "String": "Rex",
    "UtcDateTime": MOMENT,
    "PictureUrl": "a.webp",
    "PictureUrls": ["a.webp"],
    "Nested": PICTURE,
}
VALUES: list[Any] = [
    None,
    False,
    missing,
    True,
    0,
    -1,
    2**70,
    1.5,
    float("nan"),
    "",
    "Rex",
    "\0\ud800 🐕",
    "7",
    b"Rex",
    MOMENT,
    MOMENT.replace(microsecond=0),
    MOMENT.replace(tzinfo=None),
    MOMENT.astimezone(timezone(timedelta(hours=5, minutes=45))),
    [],
    ["a.webp", "b.webp"],
    {},
    IntEnum("Number", "one").one,
    type("Text", (str,), {})("Rex"),
    type("Number", (int,), {})(7),
    PICTURE,
    SimpleNamespace(**{**vars(PICTURE), "width": "1", "is_default": None}),
    SimpleNamespace(image="a.webp"),
    vars(PICTURE),
    [PICTURE],
    object(),
]


def outcome(dump: Any, row: Any) -> Any:
    """What a dump gives, with the types and the order of its values, or the kind of error that it raises."""
    with SchemaContext({"pictures": "https://dogs.example/profile_pics"}):
        try:
            return repr(dump(row))
        except Exception as error:
            return type(error)


def assert_same(schema: Schema, row: Any) -> None:
    assert outcome(compile_dump(schema), row) == outcome(schema.dump, row)


def good_values(schema: Schema) -> dict[str, Any]:
    """What a row of this schema may hold, by the names of its attributes."""
    good = {}
    for name, field in schema.dump_fields.items():
        kinds = [kind.__name__ for kind in type(field).__mro__]
        good[field.attribute or name] = next((GOOD[kind] for kind in kinds if kind in GOOD), "Rex")
    return good


def rows_of(values: dict[str, Any]) -> list[Any]:
    """Rows of every kind with these values."""
    return [SimpleNamespace(**values), namedtuple("Row", values)(**values), values, UserDict(values)]


EVERY_SCHEMA = pytest.mark.parametrize("schema", [each() for each in SCHEMAS], ids=lambda schema: type(schema).__name__)


@EVERY_SCHEMA
def test_every_schema_sends_the_same_by_both_ways_whatever_stands_in_a_field(schema: Schema) -> None:
    good = good_values(schema)
    assert isinstance(outcome(schema.dump, SimpleNamespace(**good)), str)
    for name in good:
        for value in VALUES:
            for row in rows_of({**good, name: value}):
                assert_same(schema, row)
        missing = {other: value for other, value in good.items() if other != name}
        for row in rows_of(missing):
            assert_same(schema, row)
    for row in (None, [], "Rex", object(), SimpleNamespace()):
        assert_same(schema, row)


@EVERY_SCHEMA
def test_one_function_sends_the_same_for_rows_of_all_kinds_in_any_order(schema: Schema) -> None:
    dump, draw = compile_dump(schema), random.Random(7)
    good = good_values(schema)

    for _ in range(500):
        mixed = {name: draw.choice([value, value, value, draw.choice(VALUES)]) for name, value in good.items()}
        for row in rows_of(mixed):
            assert outcome(dump, row) == outcome(schema.dump, row)


@BOTH_ENGINES
def test_rows_of_the_database_send_the_same_by_both_ways(app: Flask, anna: FlaskClient) -> None:
    add_dog(anna)
    (dog,), (user,) = Dog.select(), User.select()
    (dog_row,), (user_row,) = select_by_id(Dog, id=dog.id), select_by_id(User, id=user.id)

    for row in (dog, dog_row, Dog.find(dog.id), Dog()):
        assert_same(DogSchema(), row)
    for schema in (PublicUserSchema(), PrivateUserSchema()):
        for row in (user, user_row, User.find(user.id), User()):
            assert_same(schema, row)
    assert compile_dump(DogSchema())(dog)["name"] == dog.name


def test_one_row_is_as_good_as_another_whatever_came_before() -> None:
    schema = DogSchema()
    dump = compile_dump(schema)
    rows = [
        SimpleNamespace(id=number, name=name, owner="A", breed="B", created_at=MOMENT, user_id=1)
        for number in (1, "1", True, None)
        for name in ("Rex", None, 7)
    ]

    assert [outcome(dump, row) for row in [*rows, *rows]] == [outcome(schema.dump, row) for row in [*rows, *rows]]


class Shouting(Schema):
    """One with a hook."""

    name, id = fields.String(), fields.Integer()

    @post_dump
    def shout(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {name.upper(): value for name, value in data.items()}


class Named(fields.Field):
    """A field that tells what it was told."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Any:
        return missing if value == "hidden" else (value, attr, type(obj))


class Upper(fields.String):
    """A field with a way of its own to its value."""

    def get_value(self, obj: Any, attr: str, *args: Any, **kwargs: Any) -> Any:
        return super().get_value(obj, attr, *args, **kwargs).upper()


class Constantly(fields.String):
    """A field that asks no row."""

    def serialize(self, attr: str, obj: Any, *args: Any, **kwargs: Any) -> Any:
        return attr


class Trimming(Schema):
    """One with a hook before."""

    name, id = fields.String(), fields.Integer()

    @pre_dump
    def trim(self, row: Any, **_: Any) -> Any:
        return {"name": row.name.strip(), "id": row.id}


class Reading(Schema):
    """One that finds values in its own way."""

    name, id = fields.String(), fields.Integer()

    def get_attribute(self, obj: Any, attr: str, default: Any) -> Any:
        return super().get_attribute(obj, "title" if attr == "name" else attr, default)


class Odd(Schema):
    """One with all that a field may be told."""

    id = fields.Integer(as_string=True)
    name = fields.String(data_key="Name", attribute="title")
    nameless = fields.String(data_key="", attribute="name", dump_only=True)
    told = Named(attribute="title", dump_only=True)
    hidden = Named(attribute="nothing")
    upper = Upper(attribute="name", dump_only=True)
    constant = Constantly()
    default = fields.String(dump_default="by default")
    called = fields.Integer(dump_default=lambda: 7)
    secret = fields.String(load_only=True)
    length = fields.Function(lambda row: len(row.title))
    size = fields.Method("size_of")
    inner = fields.String(attribute="dog.name", dump_only=True)
    one = fields.Nested(Shouting, attribute="dog", dump_only=True)
    dogs = fields.List(fields.Nested(DogSchema(only=("id", "name"))))
    friends = fields.Nested(DogSchema(only=("id", "name")), many=True)
    plucked = fields.Pluck(DogSchema, "name", attribute="dog", dump_only=True)

    def size_of(self, row: Any) -> int:
        return row.id


@pytest.mark.parametrize(
    "schema",
    [
        Shouting(),
        Trimming(),
        Reading(),
        Odd(),
        *(Odd(only=("id", name)) for name in Odd().fields if name != "id"),
        Odd(only=("name", "dogs", "friends", "one")),
        DogSchema(only=("id",)),
        DogSchema(exclude=("id", "user_id")),
        DogSchema(many=True),
        PublicUserSchema(only=("id", "picture.url")),
        PublicUserSchema(many=True, exclude=("picture.srcset",)),
    ],
    ids=lambda schema: f"{type(schema).__name__} {' '.join(schema.dump_fields)}",
)
def test_schemas_with_ways_of_their_own_send_the_same_by_both_ways(schema: Schema) -> None:
    dog = SimpleNamespace(id=1, name=" Rex", owner="A", breed="B", created_at=MOMENT, user_id=1)
    values = {**vars(dog), "title": "Sir", "secret": "x", "dog": dog, "dogs": [dog, dog], "friends": [dog]}
    values |= {"username": "Anna", "image": "a.webp", "picture": PICTURE, "nothing": "hidden"}

    for row in (*rows_of(values), *rows_of({**values, "dog": None, "picture": None, "nothing": missing})):
        assert_same(schema, row)
        assert_same(schema, [row, row])
        assert_same(schema, namedtuple("Rows", "id name")(row, row))
