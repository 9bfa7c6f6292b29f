"""Compiled dumps give what `schema.dump` gives, for every schema and whatever a row contains."""

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


def dump_or_error(dump: Any, row: Any) -> Any:
    """Return the result of a dump with the types and order of its values, or the type of its error."""
    with SchemaContext({"pictures": "https://dogs.example/profile_pics"}):
        try:
            return repr(dump(row))
        except Exception as error:
            return type(error)


def assert_same_dump(schema: Schema, row: Any) -> None:
    assert dump_or_error(compile_dump(schema), row) == dump_or_error(schema.dump, row)


def valid_values(schema: Schema) -> dict[str, Any]:
    """Return valid values for a row of this schema, by attribute."""
    good = {}
    for name, field in schema.dump_fields.items():
        kinds = [kind.__name__ for kind in type(field).__mro__]
        good[field.attribute or name] = next((GOOD[kind] for kind in kinds if kind in GOOD), "Rex")
    return good


def make_rows(values: dict[str, Any]) -> list[Any]:
    """Return rows of every kind with these values."""
    return [SimpleNamespace(**values), namedtuple("Row", values)(**values), values, UserDict(values)]


EVERY_SCHEMA = pytest.mark.parametrize("schema", [each() for each in SCHEMAS], ids=lambda schema: type(schema).__name__)


@EVERY_SCHEMA
def test_compiled_dump_equals_schema_dump(schema: Schema) -> None:
    good = valid_values(schema)
    assert isinstance(dump_or_error(schema.dump, SimpleNamespace(**good)), str)
    for name in good:
        for value in VALUES:
            for row in make_rows({**good, name: value}):
                assert_same_dump(schema, row)
        missing = {other: value for other, value in good.items() if other != name}
        for row in make_rows(missing):
            assert_same_dump(schema, row)
    for row in (None, [], "Rex", object(), SimpleNamespace()):
        assert_same_dump(schema, row)


@EVERY_SCHEMA
def test_compiled_dump_handles_mixed_row_types(schema: Schema) -> None:
    dump, draw = compile_dump(schema), random.Random(7)
    good = valid_values(schema)

    for _ in range(500):
        mixed = {name: draw.choice([value, value, value, draw.choice(VALUES)]) for name, value in good.items()}
        for row in make_rows(mixed):
            assert dump_or_error(dump, row) == dump_or_error(schema.dump, row)


@BOTH_ENGINES
def test_compiled_dump_equals_schema_dump_for_db_rows(app: Flask, anna: FlaskClient) -> None:
    add_dog(anna)
    (dog,), (user,) = Dog.select(), User.select()
    (dog_row,), (user_row,) = select_by_id(Dog, id=dog.id), select_by_id(User, id=user.id)

    for row in (dog, dog_row, Dog.find(dog.id), Dog()):
        assert_same_dump(DogSchema(), row)
    for schema in (PublicUserSchema(), PrivateUserSchema()):
        for row in (user, user_row, User.find(user.id), User()):
            assert_same_dump(schema, row)
    assert compile_dump(DogSchema())(dog)["name"] == dog.name


def test_compiled_dump_is_independent_of_earlier_rows() -> None:
    schema = DogSchema()
    dump = compile_dump(schema)
    rows = [
        SimpleNamespace(id=number, name=name, owner="A", breed="B", created_at=MOMENT, user_id=1)
        for number in (1, "1", True, None)
        for name in ("Rex", None, 7)
    ]

    assert [dump_or_error(dump, row) for row in [*rows, *rows]] == [
        dump_or_error(schema.dump, row) for row in [*rows, *rows]
    ]


class PostDumpSchema(Schema):
    """A schema with a post-dump hook."""

    name, id = fields.String(), fields.Integer()

    @post_dump
    def shout(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {name.upper(): value for name, value in data.items()}


class NameField(fields.Field):
    """A field that serializes its arguments."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Any:
        return missing if value == "hidden" else (value, attr, type(obj))


class GetValueField(fields.String):
    """A field that overrides `get_value`."""

    def get_value(self, obj: Any, attr: str, *args: Any, **kwargs: Any) -> Any:
        return super().get_value(obj, attr, *args, **kwargs).upper()


class SerializeField(fields.String):
    """A field that overrides `serialize`."""

    def serialize(self, attr: str, obj: Any, *args: Any, **kwargs: Any) -> Any:
        return attr


class PreDumpSchema(Schema):
    """A schema with a pre-dump hook."""

    name, id = fields.String(), fields.Integer()

    @pre_dump
    def trim(self, row: Any, **_: Any) -> Any:
        return {"name": row.name.strip(), "id": row.id}


class GetAttributeSchema(Schema):
    """A schema that overrides `get_attribute`."""

    name, id = fields.String(), fields.Integer()

    def get_attribute(self, obj: Any, attr: str, default: Any) -> Any:
        return super().get_attribute(obj, "title" if attr == "name" else attr, default)


class UnusualFieldsSchema(Schema):
    """A schema with every option that a field takes."""

    id = fields.Integer(as_string=True)
    name = fields.String(data_key="Name", attribute="title")
    nameless = fields.String(data_key="", attribute="name", dump_only=True)
    named = NameField(attribute="title", dump_only=True)
    hidden = NameField(attribute="nothing")
    upper = GetValueField(attribute="name", dump_only=True)
    constant = SerializeField()
    default = fields.String(dump_default="by default")
    called = fields.Integer(dump_default=lambda: 7)
    secret = fields.String(load_only=True)
    length = fields.Function(lambda row: len(row.title))
    size = fields.Method("size_of")
    inner = fields.String(attribute="dog.name", dump_only=True)
    one = fields.Nested(PostDumpSchema, attribute="dog", dump_only=True)
    dogs = fields.List(fields.Nested(DogSchema(only=("id", "name"))))
    friends = fields.Nested(DogSchema(only=("id", "name")), many=True)
    plucked = fields.Pluck(DogSchema, "name", attribute="dog", dump_only=True)

    def size_of(self, row: Any) -> int:
        return row.id


@pytest.mark.parametrize(
    "schema",
    [
        PostDumpSchema(),
        PreDumpSchema(),
        GetAttributeSchema(),
        UnusualFieldsSchema(),
        *(UnusualFieldsSchema(only=("id", name)) for name in UnusualFieldsSchema().fields if name != "id"),
        UnusualFieldsSchema(only=("name", "dogs", "friends", "one")),
        DogSchema(only=("id",)),
        DogSchema(exclude=("id", "user_id")),
        DogSchema(many=True),
        PublicUserSchema(only=("id", "picture.url")),
        PublicUserSchema(many=True, exclude=("picture.srcset",)),
    ],
    ids=lambda schema: f"{type(schema).__name__} {' '.join(schema.dump_fields)}",
)
def test_overridden_schemas_fall_back_to_schema_dump(schema: Schema) -> None:
    dog = SimpleNamespace(id=1, name=" Rex", owner="A", breed="B", created_at=MOMENT, user_id=1)
    values = {**vars(dog), "title": "Sir", "secret": "x", "dog": dog, "dogs": [dog, dog], "friends": [dog]}
    values |= {"username": "Anna", "image": "a.webp", "picture": PICTURE, "nothing": "hidden"}

    for row in (*make_rows(values), *make_rows({**values, "dog": None, "picture": None, "nothing": missing})):
        assert_same_dump(schema, row)
        assert_same_dump(schema, [row, row])
        assert_same_dump(schema, namedtuple("Rows", "id name")(row, row))
