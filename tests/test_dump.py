"""What leaves by the fast way is what the schema itself would send: for every schema, and whatever a row holds."""

from __future__ import annotations

from collections import namedtuple
from datetime import UTC, datetime, timedelta, timezone
from enum import IntEnum
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from marshmallow import Schema, fields, post_dump

import schemas
from models import Dog, User
from schemas import Around, DogSchema, OwnUserSchema, UserSchema, dump_of

from .factories import add_dog

SCHEMAS = [each for each in vars(schemas).values() if isinstance(each, type) and issubclass(each, Schema)]
MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
VALUES: list[Any] = [
    None,
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
    SimpleNamespace(image="a.webp", files=["a.webp", "b.webp"], width=1, height=2, is_default=True),
    object(),
]


def outcome(dump: Any, row: Any) -> Any:
    """What a dump gives, with the types and the order of its values, or the kind of error that it raises."""
    with Around({"pictures": "https://dogs.example/profile_pics"}):
        try:
            return repr(dump(row))
        except Exception as error:
            return type(error)


def assert_same(schema: Schema, row: Any) -> None:
    assert outcome(dump_of(schema), row) == outcome(schema.dump, row)


def attributes(schema: Schema) -> list[str]:
    """What a row has to have."""
    return [field.attribute or name for name, field in schema.dump_fields.items()]


@pytest.mark.parametrize("schema", [each() for each in SCHEMAS], ids=lambda schema: type(schema).__name__)
def test_every_schema_sends_the_same_by_both_ways_whatever_stands_in_a_field(schema: Schema) -> None:
    good: dict[str, Any] = dict.fromkeys(attributes(schema), "Rex")
    for name, field in schema.dump_fields.items():
        if isinstance(field, fields.Integer):
            good[field.attribute or name] = 7
    for name in good:
        for value in VALUES:
            values = {**good, name: value}
            for row in (SimpleNamespace(**values), namedtuple("Row", values)(**values), values):
                assert_same(schema, row)
        missing = {other: value for other, value in good.items() if other != name}
        assert_same(schema, SimpleNamespace(**missing))
        assert_same(schema, missing)
    assert_same(schema, None)


def test_rows_of_the_database_send_the_same_by_both_ways(app: Flask, anna: FlaskClient) -> None:
    add_dog(anna)
    (dog,), (user,) = Dog.select(), User.select()

    assert_same(DogSchema(), dog)
    for schema in (UserSchema(), OwnUserSchema()):
        assert_same(schema, user)
    assert dump_of(DogSchema())(dog)["name"] == dog.name


def test_one_row_is_as_good_as_another_whatever_came_before() -> None:
    schema = DogSchema()
    dump = dump_of(schema)
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


class Odd(Schema):
    """One with all that a field may be told."""

    id = fields.Integer(as_string=True)
    name = fields.String(data_key="Name", attribute="title")
    secret = fields.String(load_only=True)
    length = fields.Function(lambda row: len(row.title))
    size = fields.Method("size_of")
    inner = fields.String(attribute="dog.name")
    dogs = fields.List(fields.Nested(DogSchema(only=("id", "name"))))
    friends = fields.Nested(DogSchema(only=("id", "name")), many=True)

    def size_of(self, row: Any) -> int:
        return row.id


@pytest.mark.parametrize(
    "schema",
    [
        Shouting(),
        Odd(),
        Odd(only=("id", "name", "secret")),
        Odd(only=("name", "dogs", "friends")),
        DogSchema(only=("id",)),
        DogSchema(exclude=("id", "user_id")),
        DogSchema(many=True),
    ],
    ids=lambda schema: f"{type(schema).__name__} {' '.join(schema.dump_fields)}",
)
def test_schemas_with_ways_of_their_own_send_the_same_by_both_ways(schema: Schema) -> None:
    dog = SimpleNamespace(id=1, name="Rex", owner="A", breed="B", created_at=MOMENT, user_id=1)
    row = SimpleNamespace(**vars(dog), title="Sir", secret="x", dog=dog, dogs=[dog, dog], friends=[dog])

    assert_same(schema, [row, row] if schema.many else row)
