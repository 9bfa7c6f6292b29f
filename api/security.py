"""May this browser speak: CORS, the origin of writes, the flags of the cookie, and the headers of every answer."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from flask import Flask, Request, Response, current_app, g, request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin
from flask_cors.core import get_cors_options, set_cors_headers
from itsdangerous import URLSafeTimedSerializer
from modern_csrf.base import should_accept_request
from werkzeug.middleware.proxy_fix import ProxyFix

from models.base import now
from models.session import REMEMBERED

from .errors import CrossSite

EXPOSED = ["ETag", "Link", "Location", "Retry-After", "X-Request-ID"]
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
SAFE = ("GET", "HEAD", "OPTIONS")


class SessionCookie(SecureCookieSessionInterface):
    """Flask's signed cookie, which a browser keeps for as long as the session may live."""

    def __init__(self, app: Flask) -> None:
        self.serializer_of_app = super().get_signing_serializer(app)

    def get_signing_serializer(self, app: Flask) -> URLSafeTimedSerializer | None:
        """What signs the cookies. Flask would make one for each request, with a cookie or not."""
        return self.serializer_of_app

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """What the cookie holds."""
        return super().open_session(app, request) if "HTTP_COOKIE" in request.environ else self.session_class()

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Send the cookie where it has changed."""
        if session.modified:
            super().save_session(app, session, response)
        elif session.accessed:
            response.vary.add("Cookie")

    def get_expiration_time(self, app: Flask, session: SessionMixin) -> datetime | None:
        """When a browser forgets it; None for when it is closed."""
        return now() + REMEMBERED if session.permanent else None


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
    app.before_request(refuse_foreign_pages)
    app.after_request(set_headers)
    app.extensions["cors"] = get_cors_options(
        app,
        {
            # As patterns, since it would take the brackets of http://[::1]:3000 for one.
            "origins": [re.compile(rf"{re.escape(origin)}\Z") for origin in config["CORS_ORIGINS"]],
            "supports_credentials": True,
            "expose_headers": EXPOSED,
            "max_age": PREFLIGHT_AGE,
            "vary_header": False,  # `HEADERS` say it on every answer, also to those who send no Origin
        },
    )
    app.after_request(set_cors)


def refuse_foreign_pages() -> None:
    """Refuse an unsafe method that a browser sends for a page of another site (OWASP, CSRF Prevention).

    Calls with a bearer token need no such care: a foreign page has no token to send.
    """
    if request.method in SAFE or request.headers.get("Authorization", "").lower().startswith("bearer "):
        return
    origin = request.headers.get("Origin")
    if not should_accept_request(
        method=request.method,
        origin=origin,
        # An Origin says more than Sec-Fetch-Site, so the latter speaks only where there is none.
        sec_fetch_site=None if origin else request.headers.get("Sec-Fetch-Site"),
        host=None,
        trusted_origins=own_and_listed_origins() if origin else (),
    ):
        raise CrossSite("A page of another site may not do this. Add its origin to CORS_ORIGINS if it is yours")


def own_and_listed_origins() -> set[str]:
    """This server, as browsers know it and as this request calls it, and the origins of `CORS_ORIGINS`."""
    config = current_app.config
    known = {config["PUBLIC_URL"], *config["CORS_ORIGINS"]}
    if request.is_secure or not config["IS_HTTPS"]:  # a plain page is a foreign one to a server behind TLS
        known.add(request.host_url.rstrip("/"))
    return known


def set_headers(response: Response) -> Response:
    """The headers of every answer."""
    wanted = HEADERS | ({"Cache-Control": "no-store"} if session_was_used() else {})
    if current_app.config["IS_HTTPS"]:
        wanted["Strict-Transport-Security"] = "max-age=31536000"
    there = {name.title() for name, _ in response.headers}
    if "Vary" in there:
        response.vary.add("Origin")
    # To look for one name after the other would take five times as long.
    response.headers.extend({name: value for name, value in wanted.items() if name not in there})
    return response


def set_cors(response: Response) -> Response:
    """Let the page of a listed origin read the answer (Fetch, section 3.3). Who sends no Origin is no such page."""
    if "HTTP_ORIGIN" in request.environ:
        set_cors_headers(response, current_app.extensions["cors"])
    return response


def session_was_used() -> bool:
    """Whether the answer depends on who is logged in, or changes it."""
    return "_login_user" in g
