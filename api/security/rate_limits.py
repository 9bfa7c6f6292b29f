"""How often: limits on what can be guessed or flooded. The counts are kept in the database, or in Redis."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from ipaddress import IPv6Address, ip_address
from typing import Any, NoReturn

import peewee
from flask import Flask, current_app, request
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import Storage, storage_from_string
from limits.strategies import FixedWindowRateLimiter

from models import RateLimit, User
from models.casefold import casefold_nfc

from ..http.errors import Forbidden, TooManyRequests, Unauthorized

FAILURES_PER_ACCOUNT: RateLimitItem = RateLimitItemPerMinute(10, 5, "failures")
FAILURES_PER_ADDRESS: RateLimitItem = RateLimitItemPerMinute(100, 5, "failures")
REGISTRATIONS: RateLimitItem = RateLimitItemPerMinute(30, 1, "registrations")


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
        return RateLimit.delete_counters()

    def clear(self, key: str) -> None:
        """Forget one count."""
        RateLimit.delete_counters(key)


def client_address() -> str:
    """Who calls, by address. One subscriber has a whole /64 of IPv6 addresses (RFC 6177), so they count as one."""
    try:
        found = ip_address(request.remote_addr or "")
    except ValueError:
        return "unknown"
    if isinstance(found, IPv6Address):
        return str(found.ipv4_mapped or IPv6Address(int(found) >> 64 << 64))
    return str(found)


def init_app(app: Flask) -> None:
    """Count in the storage of `RATELIMIT_STORAGE_URI`, where limits are on."""
    app.extensions["limits"] = None
    if app.config["RATELIMIT_ENABLED"]:
        storage = storage_from_string(app.config["RATELIMIT_STORAGE_URI"], wrap_exceptions=True)
        app.extensions["limits"] = FixedWindowRateLimiter(storage)


def limit_registrations(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Count each call of this verb against the address, also one that is refused. Raises `TooManyRequests`."""

    @wraps(verb)
    def counted(*args: Any, **kwargs: Any) -> Any:
        limits = current_app.extensions["limits"]
        caller = (REGISTRATIONS, client_address())
        if limits and not limits.hit(*caller):
            raise_too_many_requests(*caller)
        return verb(*args, **kwargs)

    return counted


def rate_limit_key(user: User | None, name: str) -> str:
    """What the failures of an account are counted under; an unknown name counts like a known one, and is not kept."""
    return f"user:{user.id}" if user else hashlib.sha256(casefold_nfc(name).encode()).hexdigest()


@contextmanager
def throttle_failures(action: str, account: str) -> Iterator[None]:
    """Count the block's refusals against the account and the address; refuse all once a limit is reached.

    Guesses sent side by side all find the limit open at the start, so it is looked at again when the password has
    been checked: what came too late learns nothing, not even that it was right.
    """
    limits = current_app.extensions["limits"]
    if not limits:
        yield
        return
    counters = [(FAILURES_PER_ACCOUNT, action, account), (FAILURES_PER_ADDRESS, action, client_address())]
    check_limits(counters)
    try:
        yield
    except (Unauthorized, Forbidden):
        within = [limits.hit(*counter) for counter in counters]
        if not all(within):
            check_limits(counters)
        raise
    check_limits(counters)


def check_limits(counters: list[tuple[RateLimitItem, str, str]]) -> None:
    """Raise `TooManyRequests` where one of these limits is reached."""
    for counter in counters:
        if not current_app.extensions["limits"].test(*counter):
            raise_too_many_requests(*counter)


def raise_too_many_requests(limit: RateLimitItem, *counted: str) -> NoReturn:
    """Raise `TooManyRequests` until this limit starts again from nothing."""
    deadline = current_app.extensions["limits"].get_window_stats(limit, *counted).reset_time
    seconds = max(1, round(deadline - time.time() + 0.5))
    raise TooManyRequests(f"Too many attempts. Try again in {seconds} seconds", seconds)
