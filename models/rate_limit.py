"""The counters of the rate limits."""

from __future__ import annotations

from datetime import timedelta

import peewee

from .base import UtcDateTimeField, utc_now
from .db.connection import database


class RateLimit(peewee.Model):
    """A fixed-window counter: the count of a window, and when the window ends."""

    key = peewee.TextField(primary_key=True)
    count = peewee.IntegerField()
    expires_at = UtcDateTimeField(index=True)

    class Meta:
        database = database
        table_name = "rate_limits"

    @classmethod
    def add(cls, key: str, amount: int, seconds: int) -> int:
        """Increase a counter and return the new count. A new window lasts `seconds` from its first count.

        One statement does it, so no count of another thread, process or machine is lost.
        """
        now = utc_now()
        cls.delete().where(cls.expires_at <= now).execute()
        query = (
            cls.insert(key=key, count=amount, expires_at=now + timedelta(seconds=seconds))
            .on_conflict(conflict_target=[cls.key], update={cls.count: cls.count + amount})
            .returning(cls.count)
        )
        ((count,),) = list(query.tuples())  # fetches all rows, after which SQLite commits
        return int(count)

    @classmethod
    def current(cls, key: str) -> RateLimit | None:
        """Return the counter of the current window, or None."""
        return cls.get_or_none(cls.key == key, cls.expires_at > utc_now())

    @classmethod
    def delete_counters(cls, key: str | None = None) -> int:
        """Delete one counter, or all, and return how many were deleted."""
        query = cls.delete()
        return (query.where(cls.key == key) if key is not None else query).execute()
