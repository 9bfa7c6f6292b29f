"""What goes out and is about neither users nor dogs."""

from marshmallow import Schema, fields


class EmptySchema(Schema):
    """Nothing, where all is said by the status."""


class HealthSchema(Schema):
    """A sign of life."""

    live = fields.Boolean()


class ReadinessSchema(Schema):
    """What the server needs for its work, and has."""

    database = fields.Boolean()
    migrations = fields.Boolean()
    store = fields.Boolean()
