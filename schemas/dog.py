"""Schemas of dogs."""

from marshmallow import Schema, fields, validate

from .fields import RecordId, SingleLineString, StrictBoolean, StrictInteger, UtcDateTime

SORT_NAMES = ("id", "name", "breed", "owner", "created_at")
# Examples for the OpenAPI document.
NAME, BREED, OWNER = ({"examples": [text]} for text in ("Rex", "Poodle", "Anna"))


class DogSchema(Schema):
    """A dog."""

    id = fields.Integer()
    name = fields.String(metadata=NAME)
    owner = fields.String(metadata=OWNER)
    breed = fields.String(metadata=BREED)
    created_at = UtcDateTime()
    user_id = fields.Integer()


class DogInputSchema(Schema):
    """A new dog, or all fields of one. `owner` defaults to your username."""

    name = SingleLineString(1, 80, required=True, metadata=NAME)
    breed = SingleLineString(1, 80, required=True, metadata=BREED)
    owner = SingleLineString(1, 80, metadata=OWNER)


class UpdateDogSchema(Schema):
    """The fields of a dog to change."""

    name = SingleLineString(1, 80, metadata=NAME)
    breed = SingleLineString(1, 80, metadata=BREED)
    owner = SingleLineString(1, 80, metadata=OWNER)


class DogQuerySchema(Schema):
    """Filters, order and page of a list of dogs."""

    limit = StrictInteger(
        load_default=50,
        validate=validate.Range(1, 100, error="Must be between 1 and 100."),
        metadata={"description": "The maximum number of dogs per page."},
    )
    cursor = fields.String(
        validate=validate.Length(1, error="Invalid cursor. Restart without one."),
        metadata={"description": "The `page.next` of the previous page, with the same sort and filters."},
    )
    sort = fields.String(
        load_default="id",
        validate=validate.OneOf(
            [*SORT_NAMES, *(f"-{name}" for name in SORT_NAMES)], error="Must be one of: {choices}."
        ),
        metadata={"description": "The field to sort by; with `-`, in descending order."},
    )
    name = SingleLineString(0, 80, metadata={"description": "Only dogs with this name (case-insensitive)."})
    owner = SingleLineString(0, 80, metadata={"description": "Only dogs with this owner (case-insensitive)."})
    breed = SingleLineString(0, 80, metadata={"description": "Only dogs of this breed (case-insensitive)."})
    q = SingleLineString(0, 80, metadata={"description": "A substring of name, owner or breed (case-insensitive)."})
    mine = StrictBoolean(load_default=False, metadata={"description": "Only your own dogs; requires a login."})
    user_id = RecordId(metadata={"description": "Only dogs that this user has added."})
