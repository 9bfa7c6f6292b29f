"""May this browser speak: CORS, the origin of writes, the flags of the cookie, and the headers of every answer."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from flask import Flask, Request, Response, current_app, g, request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin
from flask_cors.core import get_cors_options, set_cors_headers
from itsdangerous import BadData, URLSafeTimedSerializer
from modern_csrf.base import should_accept_request
from werkzeug.middleware.proxy_fix import ProxyFix

from models.base import utc_now
from models.session import REMEMBER_DURATION

from ..http.body import current_request
from ..http.errors import CrossOriginForbidden

EXPOSED_HEADERS = ["ETag", "Link", "Location", "Retry-After", "X-Request-ID"]
# Browsers keep a preflight at most this long (Chromium two hours), in seconds.
PREFLIGHT_AGE = 7200

# The headers of every answer, where it has none of these names yet (OWASP, REST Security Cheat Sheet).
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-cache",
    "Vary": "Origin",
}
HSTS = {"Strict-Transport-Security": "max-age=31536000"}
# How many good cookies are remembered.
COOKIE_CACHE_SIZE = 1000
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class SessionCookie(SecureCookieSessionInterface):
    """Flask's signed cookie, which a browser keeps for as long as the session may live."""

    def __init__(self, app: Flask) -> None:
        signs: Any = super().get_signing_serializer(app)
        self.signs = signs
        # Whether a signature is good never changes, and to find out takes long. What it is for is read each time.
        self.unsigned = lru_cache(COOKIE_CACHE_SIZE)(signs.make_signer(signs.salt).unsign)

    def get_signing_serializer(self, app: Flask) -> URLSafeTimedSerializer | None:
        """What signs the cookies. Flask would make one for each request, with a cookie or not."""
        return self.signs

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """What the cookie holds, where we have signed it."""
        cookie = "HTTP_COOKIE" in request.environ and request.cookies.get(app.config["SESSION_COOKIE_NAME"])
        if not cookie:
            return self.session_class()
        try:
            return self.session_class(self.signs.load_payload(self.unsigned(cookie)))
        except BadData:
            return self.session_class()

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Send the cookie where it has changed."""
        if session.modified:
            super().save_session(app, session, response)
        elif session.accessed:
            response.vary.add("Cookie")

    def get_expiration_time(self, app: Flask, session: SessionMixin) -> datetime | None:
        """When a browser forgets it; None for when it is closed."""
        return utc_now() + REMEMBER_DURATION if session.permanent else None


def init_app(app: Flask) -> None:
    """Set up everything that stands between a foreign web page and the users of this server."""
    config = app.config
    app.config.update(
        SESSION_COOKIE_NAME="session",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SECURE=config["IS_HTTPS"],
        SESSION_REFRESH_EACH_REQUEST=False,
        # How long a signature is good. The session's row says when it ends, so the signature need not.
        PERMANENT_SESSION_LIFETIME=timedelta(days=36500),
    )
    app.session_interface = SessionCookie(app)
    proxies = config["TRUSTED_PROXIES"]
    if proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=proxies, x_host=0)  # type: ignore[method-assign]
    app.before_request(check_origin)
    app.after_request(set_headers)
    app.extensions["headers"] = HEADERS | (HSTS if config["IS_HTTPS"] else {})
    app.extensions["cors"] = get_cors_options(
        app,
        {
            # As patterns, since it would take the brackets of http://[::1]:3000 for one.
            "origins": [re.compile(rf"{re.escape(origin)}\Z") for origin in config["CORS_ORIGINS"]],
            "supports_credentials": True,
            "expose_headers": EXPOSED_HEADERS,
            "max_age": PREFLIGHT_AGE,
            "vary_header": False,  # `HEADERS` say it on every answer, also to those who send no Origin
        },
    )


def check_origin() -> None:
    """Refuse an unsafe method that a browser sends for a page of another site (OWASP, CSRF Prevention).

    Calls with a bearer token need no such care: a foreign page has no token to send.
    """
    if current_request().method in SAFE_METHODS or request.headers.get("Authorization", "").lower().startswith(
        "bearer "
    ):
        return
    origin = request.headers.get("Origin")
    if not should_accept_request(
        method=request.method,
        origin=origin,
        # An Origin says more than Sec-Fetch-Site, so the latter speaks only where there is none.
        sec_fetch_site=None if origin else request.headers.get("Sec-Fetch-Site"),
        host=None,
        trusted_origins=trusted_origins() if origin else (),
    ):
        raise CrossOriginForbidden(
            "A page of another site may not do this. Add its origin to CORS_ORIGINS if it is yours"
        )


def trusted_origins() -> set[str]:
    """This server, as browsers know it and as this request calls it, and the origins of `CORS_ORIGINS`."""
    config = current_app.config
    known = {config["PUBLIC_URL"], *config["CORS_ORIGINS"]}
    if request.is_secure or not config["IS_HTTPS"]:  # a plain page is a foreign one to a server behind TLS
        known.add(request.host_url.rstrip("/"))
    return known


def set_headers(response: Response) -> Response:
    """The headers of every answer, and those by which the page of a listed origin may read it (Fetch, section 3.3)."""
    asked, extensions = current_request(), current_app.extensions
    wanted = {**extensions["headers"], "X-Request-ID": asked.id}
    if session_accessed():
        wanted["Cache-Control"] = "no-store"
    there = {name.title() for name, _ in response.headers}
    if "Vary" in there:
        response.vary.add("Origin")
    # At once: to look for one name after the other takes five times as long.
    response.headers[:0] = [pair for pair in wanted.items() if pair[0].title() not in there]
    if "HTTP_ORIGIN" in asked.environ:  # who sends none is no such page
        set_cors_headers(response, extensions["cors"])
    return response


def session_accessed() -> bool:
    """Whether the answer depends on who is logged in, or changes it."""
    return "_login_user" in g
