"""Domain errors. They know no status code: `api/http/errors.py` maps each to one."""

from __future__ import annotations


class NotFound(Exception):
    """No such row."""


class Conflict(Exception):
    """A unique value is taken.

    `fields` maps each field at fault to its message; the first message is that of the exception.
    """

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__(next(iter(fields.values())))
        self.fields = {field: [message] for field, message in fields.items()}


class SessionExpired(Exception):
    """The session ended, or its account was deleted or given another password, while the request was running."""


class VersionConflict(Exception):
    """The row was modified since the client fetched it."""

    def __init__(self, model: type) -> None:
        super().__init__(f"{model.__name__} was modified since it was fetched")
