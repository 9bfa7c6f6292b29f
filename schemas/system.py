"""Schemas of system responses."""

from marshmallow import Schema, fields


class EmptySchema(Schema):
    """An empty object: the status is the result."""


class HealthSchema(Schema):
    """Liveness."""

    live = fields.Boolean()


class ReadinessSchema(Schema):
    """Readiness: the checks, all of which have passed."""

    database = fields.Boolean()
    migrations = fields.Boolean()
    store = fields.Boolean()
