"""Device cookies: an account's own browser is not locked out by somebody else's guesses.

A browser that has logged in to an account holds a proof of it. Its failed logins are counted by themselves, instead of
with those of all others (OWASP, Slow Down Online Guessing Attacks with Device Cookies).
"""

from __future__ import annotations

import hmac
import secrets
from datetime import timedelta

from flask import Response, after_this_request, current_app

from models import User

from ..http.request import current_request

COOKIE_NAME = "kennel_device"
LIFETIME = timedelta(days=365)


def known_device(user: User | None) -> str | None:
    """Return the random name of this browser if it has logged in to this account before, else None."""
    name, _, proof = current_request().cookies.get(COOKIE_NAME, "").partition(".")
    is_known = user is not None and hmac.compare_digest(proof.encode(), prove(name, user).encode())
    return name if is_known else None


def remember_device(user: User) -> None:
    """Set the cookie in the response to a login, unless the browser has one for this account."""
    if known_device(user):
        return
    name = secrets.token_hex(16)

    @after_this_request
    def set_cookie(response: Response) -> Response:
        config = current_app.config
        response.set_cookie(
            COOKIE_NAME,
            f"{name}.{prove(name, user)}",
            max_age=LIFETIME,
            path="/user/login",
            secure=config["IS_HTTPS"],
            httponly=True,
            samesite=config["SESSION_COOKIE_SAMESITE"],
        )
        return response


def prove(name: str, user: User) -> str:
    """Return the HMAC of a browser's name and an account."""
    message = f"device:{name}:{user.id}".encode()
    return hmac.digest(current_app.config["SECRET_KEY"].encode(), message, "sha256").hex()
