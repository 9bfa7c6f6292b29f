"""What goes out and is about neither users nor dogs."""

from marshmallow import Schema, fields


class NothingSchema(Schema):
    """Nothing, where all is said by the status."""


class HealthSchema(Schema):
    """A sign of life."""

    live = fields.Boolean()
