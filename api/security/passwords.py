"""Password hashing with bcrypt, at any length, and verification in constant time for known and unknown users."""

from __future__ import annotations

from functools import cache

import bcrypt
from flask import Flask, current_app
from flask_bcrypt import Bcrypt

from models import User

from ..http.app_state import AppState
from ..http.concurrency import limiters
from ..http.errors import Forbidden, Unauthorized
from ..http.request import current_request
from ..observability.metrics import count_login
from .authentication import INVALID_CREDENTIALS
from .device_cookie import known_device, remember_device
from .rate_limits import account_key, client_address, rate_limit_key, throttle_failures

hasher = AppState[Bcrypt]("bcrypt")
highest_stored_cost = AppState[int | None]("highest_stored_cost")


def init_app(app: Flask) -> None:
    """Create the hasher, Flask-Bcrypt at the cost of `BCRYPT_LOG_ROUNDS`."""
    # bcrypt reads 72 bytes. With this, Flask-Bcrypt passes it a SHA-256 of the entire password. Turning it off later
    # would invalidate every stored hash.
    app.config["BCRYPT_HANDLE_LONG_PASSWORDS"] = True
    hasher.set(app, Bcrypt(app))
    highest_stored_cost.set(app, None)


def hash_password(password: str) -> str:
    """Return the bcrypt hash (60 characters) of a password of any length."""
    with limiters.get().cpu.acquire(address=client_address()):
        return hasher.get().generate_password_hash(password).decode()


def verify_password(user: User | None, password: str, account: str) -> bool:
    """Return whether this is the user's password. `account` identifies the account, known or not.

    An unknown user and a hash of a lower cost take as long as one of the highest cost (OWASP, Authentication).
    """
    highest = highest_cost()
    with limiters.get().cpu.acquire(address=client_address(), account=account):
        is_right = user is not None and hasher.get().check_password_hash(user.password_hash, password)
        # Each step of the cost doubles the time: the missing time is the sum of the steps between.
        missing = range(user.hash_cost, highest) if user else [highest]
        for cost in missing if not is_right else ():
            hasher.get().check_password_hash(dummy_hash(cost), password)
    return is_right


def highest_cost() -> int:
    """Return the highest cost factor of all hashes, which is read once by each process."""
    if highest_stored_cost.get() is None:
        highest_stored_cost.set(current_app, User.highest_hash_cost())
    return max(current_app.config["BCRYPT_LOG_ROUNDS"], highest_stored_cost.get() or 0)


@cache
def dummy_hash(cost: int) -> str:
    """Return a hash of this cost that matches no password."""
    return bcrypt.gensalt(cost).decode() + "." * 31


def authenticate(password: str, username: str | None = None, email: str | None = None) -> User:
    """Return the user with this name or address and password. Raises `Unauthorized`, or `TooManyRequests`."""
    user = User.find_by_login(username, email)
    if user:
        current_request().log_fields["account_id"] = user.id
    account = known_device(user) or rate_limit_key(email or username or "")
    with count_login(), throttle_failures("login", account):
        if not verify_password(user, password, account) or user is None:
            raise Unauthorized(INVALID_CREDENTIALS)
    remember_device(user)
    if user.hash_cost < current_app.config["BCRYPT_LOG_ROUNDS"]:
        user.replace_hash(hash_password(password))
    return user


def confirm_password(user: User, current_password: str) -> None:
    """Check the current password before a sensitive change. Raises `Forbidden`, or `TooManyRequests`."""
    account = account_key(user)
    with throttle_failures("confirm", account):
        if not verify_password(user, current_password, account):
            message = "The current password is wrong"
            raise Forbidden(message, fields={"current_password": [f"{message}."]})
