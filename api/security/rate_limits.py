"""Rate limits on logins, password checks and registrations, counted in the database or in Redis."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from ipaddress import IPv6Address, ip_address
from typing import Any, NoReturn

import peewee
from flask import Flask, request
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import Storage, storage_from_string
from limits.strategies import FixedWindowRateLimiter

from models import RateLimit, User
from models.casefold import casefold_nfc

from ..http.app_state import AppState
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


# None where `RATELIMIT_ENABLED` is false.
limiter = AppState[FixedWindowRateLimiter | None]("rate_limiter")


def init_app(app: Flask) -> None:
    """Count in the storage of `RATELIMIT_STORAGE_URI`, where limits are on."""
    enabled, uri = app.config["RATELIMIT_ENABLED"], app.config["RATELIMIT_STORAGE_URI"]
    limiter.set(app, FixedWindowRateLimiter(storage_from_string(uri, wrap_exceptions=True)) if enabled else None)


def limit_registrations(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: count each call of this verb against the client's address, refused ones included."""

    @wraps(verb)
    def limited(*args: Any, **kwargs: Any) -> Any:
        rate_limiter, counter = limiter.get(), (REGISTRATIONS, client_address())
        if rate_limiter and not rate_limiter.hit(*counter):
            raise_too_many_requests(rate_limiter, *counter)
        return verb(*args, **kwargs)

    return limited


def rate_limit_key(user: User | None, name: str) -> str:
    """Return the key that an account's failures are counted under. An unknown name is counted too, as a hash."""
    return f"user:{user.id}" if user else hashlib.sha256(casefold_nfc(name).encode()).hexdigest()


@contextmanager
def throttle_failures(action: str, account: str) -> Iterator[None]:
    """Count 401 and 403 raised in the block against the account and the address. Raises `TooManyRequests` at a limit.

    The limits are checked again afterwards: of concurrent guesses, those past the limit learn nothing, not even that
    a password was right.
    """
    rate_limiter = limiter.get()
    if not rate_limiter:
        yield
        return
    counters = [(FAILURES_PER_ACCOUNT, action, account), (FAILURES_PER_ADDRESS, action, client_address())]
    check_limits(rate_limiter, counters)
    try:
        yield
    except (Unauthorized, Forbidden):
        within = [rate_limiter.hit(*counter) for counter in counters]
        if not all(within):
            check_limits(rate_limiter, counters)
        raise
    check_limits(rate_limiter, counters)


def check_limits(rate_limiter: FixedWindowRateLimiter, counters: list[tuple[RateLimitItem, str, str]]) -> None:
    """Raise `TooManyRequests` if one of these limits is reached."""
    for counter in counters:
        if not rate_limiter.test(*counter):
            raise_too_many_requests(rate_limiter, *counter)


def raise_too_many_requests(rate_limiter: FixedWindowRateLimiter, limit: RateLimitItem, *key: str) -> NoReturn:
    """Raise `TooManyRequests` with the seconds until this limit's window ends."""
    reset_at = rate_limiter.get_window_stats(limit, *key).reset_time
    seconds = max(1, round(reset_at - time.time() + 0.5))
    raise TooManyRequests(f"Too many attempts. Try again in {seconds} seconds", seconds)
