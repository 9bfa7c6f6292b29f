"""How often: limits on what can be guessed or flooded. The counts are kept in the database, or in Redis."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address, ip_address
from typing import NoReturn

import peewee
from flask import Flask, request
from flask_limiter import Limiter, RequestLimit
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import Storage

from models import RateLimit, User
from models.text import fold

from .errors import Forbidden, TooManyRequests, Unauthorized

FAILURES_PER_ACCOUNT: RateLimitItem = RateLimitItemPerMinute(10, 5, "failures")
FAILURES_PER_ADDRESS: RateLimitItem = RateLimitItemPerMinute(100, 5, "failures")


class DatabaseStorage(Storage):
    """The storage of the `limits` package at `database://`: a row of `RateLimit` for each counter."""

    STORAGE_SCHEME = ["database"]

    @property
    def base_exceptions(self) -> type[Exception]:
        """What its methods raise when the storage fails."""
        return peewee.DatabaseError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count, and return the new count of a window of `expiry` seconds."""
        return RateLimit.add(key, amount, expiry)

    def get(self, key: str) -> int:
        """The count of the current window."""
        counter = RateLimit.current(key)
        return counter.count if counter else 0

    def get_expiry(self, key: str) -> float:
        """When the current window ends, in seconds since 1970."""
        counter = RateLimit.current(key)
        return counter.expires_at.timestamp() if counter else time.time()

    def check(self) -> bool:
        """Whether the storage answers."""
        RateLimit.current("")
        return True

    def reset(self) -> int:
        """Forget every count, and return how many there were."""
        return RateLimit.forget()

    def clear(self, key: str) -> None:
        """Forget one count."""
        RateLimit.forget(key)


def address() -> str:
    """Who calls, by address. One subscriber has a whole /64 of IPv6 addresses (RFC 6177), so they count as one."""
    try:
        found = ip_address(request.remote_addr or "")
    except ValueError:
        return "unknown"
    if isinstance(found, IPv6Address):
        return str(found.ipv4_mapped or IPv6Address(int(found) >> 64 << 64))
    return str(found)


def refuse(limit: RequestLimit) -> NoReturn:
    """Raise `TooManyRequests` for a limit that is used up."""
    raise_too_many(limit.reset_at)


def raise_too_many(ends_at: float) -> NoReturn:
    """Raise `TooManyRequests` until this moment, in seconds since 1970."""
    seconds = max(1, round(ends_at - time.time() + 0.5))
    raise TooManyRequests(f"Too many attempts. Try again in {seconds} seconds", seconds)


limiter = Limiter(address, strategy="fixed-window", on_breach=refuse, storage_options={"wrap_exceptions": True})
registrations = limiter.limit("30/minute")


def init_app(app: Flask) -> None:
    """Count in the storage of `RATELIMIT_STORAGE_URI`."""
    limiter.init_app(app)


def account_key(user: User | None, name: str) -> str:
    """What the failures of an account are counted under; an unknown name counts like a known one, and is not kept."""
    return f"user:{user.id}" if user else hashlib.sha256(fold(name).encode()).hexdigest()


@contextmanager
def failures_counted(action: str, account: str) -> Iterator[None]:
    """Count the block's refusals against the account and the address; refuse all once a limit is reached.

    Guesses sent side by side all find the limit open at the start, so it is looked at again when the password has
    been checked: what came too late learns nothing, not even that it was right.
    """
    if not limiter.enabled:
        yield
        return
    counters = [(FAILURES_PER_ACCOUNT, account), (FAILURES_PER_ADDRESS, address())]
    refuse_if_used_up(counters, action)
    try:
        yield
    except (Unauthorized, Forbidden):
        within = [limiter.limiter.hit(limit, action, key) for limit, key in counters]
        if not all(within):
            refuse_if_used_up(counters, action)
        raise
    refuse_if_used_up(counters, action)


def refuse_if_used_up(counters: list[tuple[RateLimitItem, str]], action: str) -> None:
    """Raise `TooManyRequests` where one of these limits is reached."""
    for limit, key in counters:
        if not limiter.limiter.test(limit, action, key):
            raise_too_many(limiter.limiter.get_window_stats(limit, action, key).reset_time)
