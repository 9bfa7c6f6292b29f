"""Passwords: hashed with bcrypt, whatever their length, and checked in the same time for everybody."""

from __future__ import annotations

import bcrypt
from flask import Flask, current_app
from flask_bcrypt import Bcrypt

from models import User

from ..http.concurrency import cpu_limiter
from ..http.errors import Forbidden, Unauthorized
from ..observability.metrics import count_login
from .authentication import INVALID_CREDENTIALS
from .rate_limits import rate_limit_key, throttle_failures


def init_app(app: Flask) -> None:
    """Set bcrypt's cost, and make the hash that stands in for unknown users."""
    # bcrypt reads 72 bytes; with this, Flask-Bcrypt feeds it a SHA-256 of the whole password.
    # Turning it off later would void every stored hash.
    app.config["BCRYPT_HANDLE_LONG_PASSWORDS"] = True
    app.extensions["bcrypt"] = Bcrypt(app)
    # A salt at our cost and a digest that no password has: comparing with it costs what a real check costs.
    app.extensions["dummy_hash"] = bcrypt.gensalt(app.config["BCRYPT_LOG_ROUNDS"]).decode() + "." * 31


def hash_password(password: str) -> str:
    """The bcrypt hash of a password of any length: 60 characters."""
    with cpu_limiter():
        return current_app.extensions["bcrypt"].generate_password_hash(password).decode()


def verify_password(user: User | None, password: str) -> bool:
    """Whether this is the user's password. Nobody's password costs the same check (OWASP, Authentication)."""
    stored = user.password_hash if user else current_app.extensions["dummy_hash"]
    with cpu_limiter():
        return current_app.extensions["bcrypt"].check_password_hash(stored, password)


def authenticate(password: str, username: str | None = None, email: str | None = None) -> User:
    """The user with this name or address and password. Raises `Unauthorized`, or `TooManyRequests` after many tries."""
    user = User.find_by_login(username, email)
    with count_login(), throttle_failures("login", rate_limit_key(user, email or username or "")):
        if not verify_password(user, password) or user is None:
            raise Unauthorized(INVALID_CREDENTIALS)
    return user


def confirm_password(user: User, current_password: str) -> None:
    """Make sure that it is the user who sits before the screen.

    Raises `Forbidden` for a wrong password, `TooManyRequests` after many.
    """
    with throttle_failures("confirm", rate_limit_key(user, "")):
        if not verify_password(user, current_password):
            message = "The current password is wrong"
            raise Forbidden(message, fields={"current_password": [f"{message}."]})
