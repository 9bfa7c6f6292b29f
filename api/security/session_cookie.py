"""The session cookie: Flask's signed cookie, with a cache of verified signatures and our session lifetimes."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from flask import Flask, Request, Response
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin
from itsdangerous import BadData, URLSafeTimedSerializer

from models.base import utc_now
from models.session import REMEMBER_DURATION

# Verified cookies that are cached.
COOKIE_CACHE_SIZE = 1000


class SessionCookie(SecureCookieSessionInterface):
    """Flask's session interface, where a `permanent` session lasts for `REMEMBER_DURATION`."""

    def __init__(self, app: Flask) -> None:
        serializer: Any = super().get_signing_serializer(app)
        self.signing_serializer = serializer
        # Verification is slow and its result never changes. The session itself is loaded from the database each time.
        self.unsign = lru_cache(COOKIE_CACHE_SIZE)(serializer.make_signer(serializer.salt).unsign)

    def get_signing_serializer(self, app: Flask) -> URLSafeTimedSerializer | None:
        """Return the serializer. Flask would create one for each request, with or without a cookie."""
        return self.signing_serializer

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """Return the content of the cookie, or an empty session if its signature is invalid."""
        cookie = "HTTP_COOKIE" in request.environ and request.cookies.get(app.config["SESSION_COOKIE_NAME"])
        if not cookie:
            return self.session_class()
        try:
            return self.session_class(self.signing_serializer.load_payload(self.unsign(cookie)))
        except BadData:
            return self.session_class()

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Set the cookie if the session was modified."""
        if session.modified:
            super().save_session(app, session, response)
        elif session.accessed:
            response.vary.add("Cookie")

    def get_expiration_time(self, app: Flask, session: SessionMixin) -> datetime | None:
        """Return when the browser deletes the cookie; None means when it is closed."""
        return utc_now() + REMEMBER_DURATION if session.permanent else None


def init_app(app: Flask) -> None:
    """Set the attributes of the cookie."""
    # With this prefix, browsers refuse a cookie of this name from another host of the domain (RFC 6265bis, 4.1.3.2).
    prefix = "__Host-" if app.config["IS_HTTPS"] else ""
    app.config.update(
        SESSION_COOKIE_NAME=prefix + app.config["SESSION_COOKIE_NAME"],
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SECURE=app.config["IS_HTTPS"],
        SESSION_REFRESH_EACH_REQUEST=False,
        # How long a signature is valid: practically for ever, since the row of the session has the expiry.
        PERMANENT_SESSION_LIFETIME=timedelta(days=36500),
    )
    app.session_interface = SessionCookie(app)
