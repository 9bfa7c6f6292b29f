"""Dogs, as they come in and go out."""

from marshmallow import Schema, fields, validate

from .fields import Id, Moment, Text, Whole

SORT_NAMES = ("id", "name", "breed", "owner", "created_at")


class DogSchema(Schema):
    """A dog, as everybody sees it."""

    id = fields.Integer()
    name = fields.String()
    owner = fields.String()
    breed = fields.String()
    created_at = Moment()
    user_id = fields.Integer()


class NewDogSchema(Schema):
    """A whole dog. Without `owner`, its owner is who creates it."""

    name = Text(1, 80, required=True)
    breed = Text(1, 80, required=True)
    owner = Text(1, 80)


class DogChangeSchema(Schema):
    """Some fields of a dog."""

    name = Text(1, 80)
    breed = Text(1, 80)
    owner = Text(1, 80)


class DogQuerySchema(Schema):
    """Which dogs, in which order, which page."""

    limit = Whole(load_default=50, validate=validate.Range(1, 100, error="Ask for 1 to 100."))
    cursor = fields.String(load_default=None)
    sort = fields.String(
        load_default="id",
        validate=validate.OneOf(
            [*SORT_NAMES, *(f"-{name}" for name in SORT_NAMES)], error="Sort by one of: {choices}."
        ),
    )
    name = Text(0, 80)
    owner = Text(0, 80)
    breed = Text(0, 80)
    q = Text(0, 80)
    mine = fields.Boolean(load_default=False)
    user_id = Id()
