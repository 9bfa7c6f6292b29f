"""Browser security: CORS, CSRF protection by the Origin header, and the security headers of every response."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from flask import Flask, Response, current_app, g, request
from flask_cors.core import get_cors_options, set_cors_headers
from werkzeug.middleware.proxy_fix import ProxyFix

from ..http.app_state import AppState
from ..http.errors import CrossOriginForbidden
from ..http.request import current_request

EXPOSED_HEADERS = ["ETag", "Link", "Location", "Retry-After", "X-Request-ID"]
# Browsers cap this; Chromium at two hours.
PREFLIGHT_MAX_AGE_SECONDS = 7200

# Set on every response that does not set them itself (OWASP, REST Security Cheat Sheet).
DEFAULT_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-cache",
    "Vary": "Origin",
}
HSTS = {"Strict-Transport-Security": "max-age=31536000"}
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class ResponseHeaders(NamedTuple):
    """The default headers of this application's responses, and its options of flask-cors."""

    default: dict[str, str]
    cors: Any


response_headers = AppState[ResponseHeaders]("response_headers")


def init_app(app: Flask) -> None:
    """Trust the configured proxies, check the origin of unsafe requests, and set headers on every response."""
    config = app.config
    proxies = config["TRUSTED_PROXIES"]
    if proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=proxies, x_host=0)  # type: ignore[method-assign]
    app.before_request(check_origin)
    app.after_request(set_headers)
    cors = get_cors_options(
        app,
        {
            # As patterns, because flask-cors would take the brackets of http://[::1]:3000 for one.
            "origins": [re.compile(rf"{re.escape(origin)}\Z") for origin in config["CORS_ORIGINS"]],
            "supports_credentials": True,
            "expose_headers": EXPOSED_HEADERS,
            "max_age": PREFLIGHT_MAX_AGE_SECONDS,
            "vary_header": False,  # DEFAULT_HEADERS has it, also for requests without an Origin
        },
    )
    response_headers.set(app, ResponseHeaders(DEFAULT_HEADERS | (HSTS if config["IS_HTTPS"] else {}), cors))


def check_origin() -> None:
    """CSRF protection: refuse unsafe methods from untrusted origins (OWASP, CSRF Prevention).

    A browser sends `Origin`, or else `Sec-Fetch-Site`; other clients send neither. Requests with a bearer token are
    exempt: a page of another site has no token to send.
    """
    if current_request().method in SAFE_METHODS or is_bearer(request.headers.get("Authorization", "")):
        return
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
    is_trusted = site in (None, "same-origin", "none") if origin is None else origin in trusted_origins()
    if not is_trusted:
        raise CrossOriginForbidden("Cross-origin request refused. Add the origin to CORS_ORIGINS to allow it")


def is_bearer(authorization: str) -> bool:
    """Return whether this Authorization header holds a bearer token."""
    return authorization.lower().startswith("bearer ")


def trusted_origins() -> set[str]:
    """Return the origins of `CORS_ORIGINS` and of this server, by its `PUBLIC_URL` and by this request's host."""
    config = current_app.config
    trusted = {config["PUBLIC_URL"], *config["CORS_ORIGINS"]}
    if request.is_secure or not config["IS_HTTPS"]:  # to a server on https, a page on http is another origin
        trusted.add(request.host_url.rstrip("/"))
    return trusted


def set_headers(response: Response) -> Response:
    """Set the default headers, and the CORS headers for a page of a listed origin (Fetch, section 3.3)."""
    request, headers = current_request(), response_headers.get()
    defaults = {**headers.default, "X-Request-ID": request.id}
    if session_accessed():
        defaults["Cache-Control"] = "no-store"
    present = {name.title() for name, _ in response.headers}
    if "Vary" in present:
        response.vary.add("Origin")
    # All at once: looking up one name after the other takes five times as long.
    response.headers[:0] = [pair for pair in defaults.items() if pair[0].title() not in present]
    if "HTTP_ORIGIN" in request.environ:
        set_cors_headers(response, headers.cors)
    return response


def session_accessed() -> bool:
    """Return whether the response depends on the logged-in user, or changes who that is."""
    return "_login_user" in g
