"""How often something was done: the counters behind the limits."""

from __future__ import annotations

from datetime import timedelta

import peewee

from .base import UtcDateTimeField, utc_now
from .db.connection import database


class RateLimit(peewee.Model):
    """A counter and the moment it starts again from nothing."""

    key = peewee.TextField(primary_key=True)
    count = peewee.IntegerField()
    expires_at = UtcDateTimeField(index=True)

    class Meta:
        database = database
        table_name = "rate_limits"

    @classmethod
    def add(cls, key: str, amount: int, seconds: int) -> int:
        """Count, and return the new count. The first count of a window makes it last so many seconds.

        Counting is one statement, so that counts from other threads, processes and machines are never lost.
        """
        moment = utc_now()
        cls.delete().where(cls.expires_at <= moment).execute()
        query = (
            cls.insert(key=key, count=amount, expires_at=moment + timedelta(seconds=seconds))
            .on_conflict(conflict_target=[cls.key], update={cls.count: cls.count + amount})
            .returning(cls.count)
        )
        ((count,),) = list(query.tuples())  # to its end, where SQLite commits it
        return int(count)

    @classmethod
    def current(cls, key: str) -> RateLimit | None:
        """The counter of a window that has not ended."""
        return cls.get_or_none(cls.key == key, cls.expires_at > utc_now())

    @classmethod
    def delete_counters(cls, key: str | None = None) -> int:
        """Delete one counter, or all, and return how many there were."""
        query = cls.delete()
        return (query.where(cls.key == key) if key is not None else query).execute()
