"""What can go wrong with rows. These errors know no status code: `api/errors.py` gives them one."""

from __future__ import annotations

import peewee


class NotFound(Exception):
    """No such row."""


class Conflict(Exception):
    """A value is taken that only one row may have.

    `fields` maps each field at fault to what is wrong with it; the first is the message.
    """

    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__(next(iter(fields.values())))
        self.fields = {field: [message] for field, message in fields.items()}


class SessionExpired(Exception):
    """The session or the account that this was to be done for has just ended."""


class VersionConflict(Exception):
    """The row has changed since the caller read it."""


def sqlstate(error: peewee.PeeweeException) -> str | None:
    """PostgreSQL's code of an error (its manual, appendix A), or None where it comes from elsewhere."""
    return getattr(getattr(error, "orig", None), "sqlstate", None)
