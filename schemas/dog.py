"""Dogs, as they come in and go out."""

from marshmallow import Schema, fields, validate

from .fields import RecordId, SingleLineString, StrictBoolean, StrictInteger, UtcDateTime

SORT_NAMES = ("id", "name", "breed", "owner", "created_at")
# For the API's description.
NAME, BREED, OWNER = ({"examples": [text]} for text in ("Rex", "Poodle", "Anna"))


class DogSchema(Schema):
    """A dog, as everybody sees it."""

    id = fields.Integer()
    name = fields.String(metadata=NAME)
    owner = fields.String(metadata=OWNER)
    breed = fields.String(metadata=BREED)
    created_at = UtcDateTime()
    user_id = fields.Integer()


class DogInputSchema(Schema):
    """A whole dog. Without `owner`, its owner is who creates it."""

    name = SingleLineString(1, 80, required=True, metadata=NAME)
    breed = SingleLineString(1, 80, required=True, metadata=BREED)
    owner = SingleLineString(1, 80, metadata=OWNER)


class UpdateDogSchema(Schema):
    """Some fields of a dog."""

    name = SingleLineString(1, 80, metadata=NAME)
    breed = SingleLineString(1, 80, metadata=BREED)
    owner = SingleLineString(1, 80, metadata=OWNER)


class DogQuerySchema(Schema):
    """Which dogs, in which order, which page."""

    limit = StrictInteger(
        load_default=50,
        validate=validate.Range(1, 100, error="Ask for 1 to 100."),
        metadata={"description": "How many dogs a page holds."},
    )
    cursor = fields.String(
        metadata={"description": "The `page.next` of the page before, for the same sort and filters."}
    )
    sort = fields.String(
        load_default="id",
        validate=validate.OneOf(
            [*SORT_NAMES, *(f"-{name}" for name in SORT_NAMES)], error="Sort by one of: {choices}."
        ),
        metadata={"description": "The order; with `-` backwards."},
    )
    name = SingleLineString(0, 80, metadata={"description": "Dogs of this name, in upper or lower case."})
    owner = SingleLineString(0, 80, metadata={"description": "Dogs of this owner, in upper or lower case."})
    breed = SingleLineString(0, 80, metadata={"description": "Dogs of this breed, in upper or lower case."})
    q = SingleLineString(0, 80, metadata={"description": "Dogs with this in their name, owner or breed."})
    mine = StrictBoolean(load_default=False, metadata={"description": "Only dogs that you have added; log in first."})
    user_id = RecordId(metadata={"description": "Dogs that this user has added."})
