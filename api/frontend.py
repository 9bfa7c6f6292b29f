"""The frontend: the React client as a single-page application (if built), and Swagger UI at `/docs`."""

from __future__ import annotations

import mimetypes
import secrets
from pathlib import Path

from flask import Flask, Response, current_app, render_template, request, send_from_directory
from flask_swagger_ui import get_swaggerui_blueprint

from .config import ROOT
from .http.app_state import AppState
from .http.request import current_request
from .http.responses import JSON
from .pictures.store import picture_store

INDEX = "index.html"
# The placeholder that the build writes where each response needs a fresh nonce.
NONCE = "__CSP_NONCE__"
# `url` is the API's origin, whatever host name the page was opened by; `images` are the origins of pictures.
CLIENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self' data: blob: {images}; "
    "connect-src 'self' {url}; font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
WELCOME_POLICY = "default-src 'none'; style-src 'nonce-{nonce}'; frame-ancestors 'none'"
# Swagger UI puts its settings in an inline script. The nonce allows that script, and no other.
DOCS_POLICY = (
    "default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# Suffixes of the precompressed files beside each asset, in order of preference.
ENCODINGS = {"br": ".br", "gzip": ".gz"}

# The folder of the built React client.
client_build = AppState[Path]("client_build")


def init_app(app: Flask) -> None:
    """Register the pages. Any URL without a route belongs to the client."""
    # By default these two name other servers.
    config = {"app_name": "Kennel's API", "validatorUrl": None, "oauth2RedirectUrl": None}
    docs = get_swaggerui_blueprint("/docs", "/openapi.json", config)
    docs.after_request(add_csp_nonce)
    app.register_blueprint(docs)
    client_build.set(app, ROOT / "client" / "dist")
    app.add_url_rule("/", "index_or_welcome", index_or_welcome)
    app.add_url_rule("/assets/<path:name>", "asset", asset)
    taken = {rule.rule.split("/")[1] for rule in app.url_map.iter_rules()}
    app.before_request(lambda: serve_spa() if is_client_route(taken) else None)


def is_client_route(taken: set[str]) -> bool:
    """Return whether this URL is the client's: no route matches it, or any URL with the same first segment."""
    request = current_request()
    return request.url_rule is None and request.path.split("/")[1] not in taken


def add_csp_nonce(response: Response) -> Response:
    """Add a nonce for the inline script of Swagger UI's page."""
    if response.mimetype == "text/html":
        response.direct_passthrough = False  # to read a page that is sent as a file
        nonce = secrets.token_urlsafe(16)
        response.set_data(response.get_data(as_text=True).replace("<script>", f'<script nonce="{nonce}">'))
        response.headers["Content-Security-Policy"] = DOCS_POLICY.format(nonce=nonce)
    return response


def index_or_welcome() -> Response:
    """Return the client's page or, if it is not built, a page with instructions."""
    if is_built():
        return index()
    nonce = secrets.token_urlsafe(16)
    page = render_template("welcome.html", nonce=nonce)
    headers = {"Content-Security-Policy": WELCOME_POLICY.format(nonce=nonce)}
    return Response(page, mimetype="text/html", headers=headers)


def serve_spa() -> Response | None:
    """Return the client's page for one of its routes, or one of its files (SPA fallback); None for neither."""
    if not is_built() or request.method not in ("GET", "HEAD"):
        return None
    folder, name = client_build.get(), request.path[1:]
    if name != INDEX and "/" not in name and (folder / name).is_file():
        return send_from_directory(folder, name)
    # Only navigation by a browser prefers HTML. Programs, and images that are missing, get a 404.
    accept = request.accept_mimetypes
    return index() if accept["text/html"] > accept[JSON] else None


def is_built() -> bool:
    """Return whether the client is built."""
    return (client_build.get() / INDEX).is_file()


def index() -> Response:
    """Return the client's page. Its script routes by the URL."""
    nonce = secrets.token_urlsafe(16)
    page = (client_build.get() / INDEX).read_text().replace(NONCE, nonce)
    url = current_app.config["PUBLIC_URL"]
    images = f"{url} {picture_store.get().origin}" if current_app.config["UPLOADS_REDIRECT"] else url
    policy = CLIENT_POLICY.format(nonce=nonce, url=url, images=images)
    return Response(page, mimetype="text/html", headers={"Content-Security-Policy": policy})


def asset(name: str) -> Response:
    """Return a file of the client, precompressed if the browser accepts it. Its name contains a hash of its content."""
    folder = client_build.get() / "assets"
    accepted = [encoding for encoding in ENCODINGS if request.accept_encodings[encoding]]
    encoding = next((encoding for encoding in accepted if (folder / f"{name}{ENCODINGS[encoding]}").is_file()), "")
    kind = mimetypes.guess_type(name)[0]
    response = send_from_directory(folder, f"{name}{ENCODINGS.get(encoding, '')}", mimetype=kind)
    if encoding:
        response.content_encoding = encoding
    response.vary.add("Accept-Encoding")
    response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    return response
