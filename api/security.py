"""May this browser speak: CORS, the origin of writes, the flags of the cookie, and the headers of every answer."""

from __future__ import annotations

from datetime import timedelta

from flask import Flask, Response, current_app, g, request
from flask_cors import CORS
from modern_csrf.base import should_accept_request
from werkzeug.middleware.proxy_fix import ProxyFix

from models.session import REMEMBERED

from .errors import CrossSite

EXPOSED = ["ETag", "Link", "Location", "Retry-After", "X-Request-ID"]
# Browsers keep a preflight at most this long (Chromium two hours), in seconds.
PREFLIGHT_AGE = 7200


def init_app(app: Flask) -> None:
    """Set up everything that stands between a foreign web page and the users of this server."""
    config = app.config
    app.config.update(
        SESSION_COOKIE_NAME="session",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SECURE=config["IS_HTTPS"],
        PERMANENT_SESSION_LIFETIME=timedelta(seconds=REMEMBERED.total_seconds()),
        SESSION_REFRESH_EACH_REQUEST=False,
    )
    proxies = config["TRUSTED_PROXIES"]
    if proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=proxies, x_host=0)  # type: ignore[method-assign]
    app.before_request(refuse_foreign_pages)
    app.after_request(set_headers)
    CORS(
        app,
        origins=list(config["CORS_ORIGINS"]),
        supports_credentials=True,
        expose_headers=EXPOSED,
        max_age=PREFLIGHT_AGE,
        always_send=False,
        vary_header=False,  # `set_headers` says it on every answer, also to those who send no Origin
    )


def refuse_foreign_pages() -> None:
    """Refuse an unsafe method that a browser sends for a page of another site (OWASP, CSRF Prevention).

    Calls with a bearer token need no such care: a foreign page has no token to send.
    """
    if request.headers.get("Authorization", "").lower().startswith("bearer "):
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
    return {config["PUBLIC_URL"], request.host_url.rstrip("/"), *config["CORS_ORIGINS"]}


def set_headers(response: Response) -> Response:
    """The headers of every answer (OWASP, REST Security Cheat Sheet)."""
    headers = response.headers
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "strict-origin-when-cross-origin"
    headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
    headers.setdefault("Cache-Control", "no-store" if session_was_used() else "no-cache")
    if current_app.config["IS_HTTPS"]:
        headers["Strict-Transport-Security"] = "max-age=31536000"
    response.vary.add("Origin")
    return response


def session_was_used() -> bool:
    """Whether the answer depends on who is logged in, or changes it."""
    return "_login_user" in g
