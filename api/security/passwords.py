"""Password hashing with bcrypt, at any length, and verification in constant time for known and unknown users."""

from __future__ import annotations

from typing import NamedTuple

import bcrypt
from flask import Flask
from flask_bcrypt import Bcrypt

from models import User

from ..http.app_state import AppState
from ..http.concurrency import limiters
from ..http.errors import Forbidden, Unauthorized
from ..observability.metrics import count_login
from .authentication import INVALID_CREDENTIALS
from .rate_limits import rate_limit_key, throttle_failures


class PasswordHasher(NamedTuple):
    """Flask-Bcrypt at this application's cost, and a hash that matches no password."""

    bcrypt: Bcrypt
    dummy_hash: str


hasher = AppState[PasswordHasher]("password_hasher")


def init_app(app: Flask) -> None:
    """Set bcrypt's cost, and make the dummy hash that is compared for unknown users."""
    # bcrypt reads 72 bytes. With this, Flask-Bcrypt passes it a SHA-256 of the entire password. Turning it off later
    # would invalidate every stored hash.
    app.config["BCRYPT_HANDLE_LONG_PASSWORDS"] = True
    # A salt at our cost and a digest that matches nothing: comparing takes as long as for a real hash.
    dummy_hash = bcrypt.gensalt(app.config["BCRYPT_LOG_ROUNDS"]).decode() + "." * 31
    hasher.set(app, PasswordHasher(Bcrypt(app), dummy_hash))


def hash_password(password: str) -> str:
    """Return the bcrypt hash (60 characters) of a password of any length."""
    with limiters.get().cpu.acquire():
        return hasher.get().bcrypt.generate_password_hash(password).decode()


def verify_password(user: User | None, password: str) -> bool:
    """Return whether this is the user's password. An unknown user takes as long (OWASP, Authentication)."""
    stored = user.password_hash if user else hasher.get().dummy_hash
    with limiters.get().cpu.acquire():
        return hasher.get().bcrypt.check_password_hash(stored, password)


def authenticate(password: str, username: str | None = None, email: str | None = None) -> User:
    """Return the user with this name or address and password. Raises `Unauthorized`, or `TooManyRequests`."""
    user = User.find_by_login(username, email)
    with count_login(), throttle_failures("login", rate_limit_key(user, email or username or "")):
        if not verify_password(user, password) or user is None:
            raise Unauthorized(INVALID_CREDENTIALS)
    return user


def confirm_password(user: User, current_password: str) -> None:
    """Check the current password before a sensitive change. Raises `Forbidden`, or `TooManyRequests`."""
    with throttle_failures("confirm", rate_limit_key(user, "")):
        if not verify_password(user, current_password):
            message = "The current password is wrong"
            raise Forbidden(message, fields={"current_password": [f"{message}."]})
