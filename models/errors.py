"""Domain errors. They know no status code: `api/http/errors.py` maps each to one."""

from __future__ import annotations


class NotFound(Exception):
    """The row does not exist."""


class Conflict(Exception):
    """A unique value is taken.

    `fields` maps each conflicting field to its messages. The first one is the message of the exception.
    """

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__(next(iter(fields.values())))
        self.fields = {field: [message] for field, message in fields.items()}


class SessionExpired(Exception):
    """The session ended, its account was deleted, or its password changed while the request was running."""


class VersionConflict(Exception):
    """The row was modified since the client fetched it."""

    def __init__(self, model: type) -> None:
        super().__init__(f"{model.__name__} was modified since it was fetched")
