"""Rate limits on logins, password checks and registrations, counted in the database or in Redis."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from ipaddress import IPv6Address
from typing import Any, NoReturn

import peewee
from flask import Flask
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import Storage, storage_from_string
from limits.strategies import FixedWindowRateLimiter

from models import RateLimit, User
from models.casefold import casefold_nfc

from ..http.app_state import AppState
from ..http.errors import Forbidden, TooManyRequests, Unauthorized
from ..http.request import current_request

FAILURES_PER_ACCOUNT: RateLimitItem = RateLimitItemPerMinute(10, 5, "failures")
FAILURES_PER_ADDRESS: RateLimitItem = RateLimitItemPerMinute(100, 5, "failures")
REGISTRATIONS: RateLimitItem = RateLimitItemPerMinute(30, 1, "registrations")


class DatabaseStorage(Storage):
    """A storage for the `limits` package, at `database://`: one `RateLimit` row per counter."""

    STORAGE_SCHEME = ["database"]

    @property
    def base_exceptions(self) -> type[Exception]:
        """The exception that its methods raise if the storage fails."""
        return peewee.DatabaseError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Increment a counter with a window of `expiry` seconds, and return it."""
        return RateLimit.add(key, amount, expiry)

    def get(self, key: str) -> int:
        """Return the count of the current window."""
        counter = RateLimit.current(key)
        return counter.count if counter else 0

    def get_expiry(self, key: str) -> float:
        """Return when the current window ends, as a Unix timestamp."""
        counter = RateLimit.current(key)
        return counter.expires_at.timestamp() if counter else time.time()

    def check(self) -> bool:
        """Return whether the storage is healthy."""
        RateLimit.current("")
        return True

    def reset(self) -> int:
        """Delete all counters, and return how many there were."""
        return RateLimit.delete_counters()

    def clear(self, key: str) -> None:
        """Delete one counter."""
        RateLimit.delete_counters(key)


def client_address() -> str:
    """Return the client's IP address. An IPv6 address is cut to its /64, which belongs to one subscriber (RFC 6177)."""
    address = current_request().client_ip
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or IPv6Address(int(address) >> 64 << 64)
    return str(address or "unknown")


# None if `RATELIMIT_ENABLED` is false.
limiter = AppState[FixedWindowRateLimiter | None]("rate_limiter")


def init_app(app: Flask) -> None:
    """Create the limiter, with the storage of `RATELIMIT_STORAGE_URI`."""
    enabled, uri = app.config["RATELIMIT_ENABLED"], app.config["RATELIMIT_STORAGE_URI"]
    limiter.set(app, FixedWindowRateLimiter(storage_from_string(uri, wrap_exceptions=True)) if enabled else None)


def limit_registrations(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: limit registrations per client address. Refused ones count too."""

    @wraps(verb)
    def limited(*args: Any, **kwargs: Any) -> Any:
        rate_limiter, counter = limiter.get(), (REGISTRATIONS, client_address())
        # Past the limit nothing is written: only `hit` counts.
        if rate_limiter and not (rate_limiter.test(*counter) and rate_limiter.hit(*counter)):
            raise_too_many_requests(rate_limiter, *counter)
        return verb(*args, **kwargs)

    return limited


def rate_limit_key(name: str) -> str:
    """Return the key of the failures of a username or an email address, as it was typed, whether known or not.

    A counter of the account would tell which name belongs to which address.
    """
    return hashlib.sha256(casefold_nfc(name).encode()).hexdigest()


def account_key(user: User) -> str:
    """Return the key of the failures of an account whose user is logged in."""
    return f"user:{user.id}"


def unlock(user: User) -> None:
    """Forget the failures of an account, by whatever was typed."""
    rate_limiter = limiter.get()
    if rate_limiter:
        for name in (user.username, user.email):
            rate_limiter.clear(FAILURES_PER_ACCOUNT, "login", rate_limit_key(name))
        rate_limiter.clear(FAILURES_PER_ACCOUNT, "confirm", account_key(user))


@contextmanager
def throttle_failures(action: str, account: str) -> Iterator[None]:
    """Count 401 and 403 raised in the block against the account and the address. Raises `TooManyRequests` at a limit.

    The limits are checked again afterwards, so concurrent guesses past the limit learn nothing, not even that a
    password was correct.
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
