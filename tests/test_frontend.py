"""Frontend: single-page application fallback, static assets, Content-Security-Policy, and Swagger UI."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from api.frontend import client_build

from .factories import api_error

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"}
SCRIPT = "console.log('dogs');" * 50


@pytest.fixture
def client_without_build(app: Flask, tmp_path: Path) -> FlaskClient:
    """A test client of an application without a React build."""
    client_build.set(app, tmp_path / "missing")
    return app.test_client()


@pytest.fixture
def client_with_build(app: Flask, tmp_path: Path) -> FlaskClient:
    """A test client of an application with a minimal React build."""
    folder = tmp_path / "dist"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text('<meta property="csp-nonce" nonce="__CSP_NONCE__"><title>Kennel</title>')
    (folder / "favicon.svg").write_text("<svg/>")
    (folder / "assets" / "main-1f2e.js").write_text(SCRIPT)
    (folder / "assets" / "main-1f2e.js.gz").write_bytes(gzip.compress(SCRIPT.encode()))
    (folder / "assets" / "small-3d4c.css").write_text("a{}")
    (tmp_path / "secret").write_text("not for clients")
    client_build.set(app, folder)
    return app.test_client()


def parse_csp(policy: str) -> dict[str, set[str]]:
    """Return the directives of a Content-Security-Policy with their sources."""
    return {name: set(sources) for name, *sources in (part.split() for part in policy.split(";"))}


# --- With a client build ---


@pytest.mark.parametrize("path", ["/", "/login", "/dogs/7", "/login/", "/profile?next=/", "/some.thing"])
def test_unclaimed_path_returns_client_to_browser(client_with_build: FlaskClient, path: str) -> None:
    response = client_with_build.get(path, headers=BROWSER)

    assert response.status_code == 200
    assert response.mimetype == "text/html"
    assert "<title>Kennel</title>" in response.text
    assert response.headers["Cache-Control"] == "no-cache"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/user/unknown", 404),
        ("/user/login", 405),
        ("/user", 404),
        ("/api/v1/cats", 404),
        ("/api", 404),
        ("/profile_pics/unknown.webp", 404),
        ("/health", 404),
        ("/errors/unknown", 404),
        ("/docs/unknown.js", 404),
        ("/assets/main-0000.js", 404),
        ("/openapi.json/more", 404),
    ],
)
def test_api_path_never_returns_client(client_with_build: FlaskClient, path: str, status: int) -> None:
    assert api_error(client_with_build.get(path, headers=BROWSER))[0] == status


@pytest.mark.parametrize("accept", [None, "*/*", "application/json", "image/avif,image/webp,*/*;q=0.8"])
def test_unknown_path_without_accept_html_returns_404(client_with_build: FlaskClient, accept: str | None) -> None:
    response = client_with_build.get("/dog", headers={"Accept": accept} if accept else {})

    assert api_error(response) == (404, "not-found")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_write_to_client_route_returns_404(client_with_build: FlaskClient, method: str) -> None:
    assert api_error(client_with_build.open("/login", method=method, headers=BROWSER)) == (404, "not-found")


def test_csp_forbids_inline_script_and_nonce_is_unique(client_with_build: FlaskClient) -> None:
    first, second = (client_with_build.get("/", headers=BROWSER) for _ in range(2))

    policy = parse_csp(first.headers["Content-Security-Policy"])
    nonce = re.findall(r'nonce="([\w-]{20,})"', first.text)
    assert policy["default-src"] == {"'none'"}
    assert policy["script-src"] == {"'self'"}
    assert policy["style-src"] == {"'self'", f"'nonce-{nonce[0]}'"}
    assert policy["connect-src"] == {"'self'", "http://localhost:8000"}
    assert policy["img-src"] == {"'self'", "data:", "blob:", "http://localhost:8000"}
    assert policy["frame-ancestors"] == policy["base-uri"] == {"'none'"}
    assert nonce[0] not in second.text
    assert "__CSP_NONCE__" not in first.text


@pytest.mark.parametrize(
    ("accepted", "encoding"), [("gzip, deflate, br, zstd", "gzip"), ("br", None), ("gzip;q=0", None), ("", None)]
)
def test_asset_encoding_follows_accept_encoding(
    client_with_build: FlaskClient, accepted: str, encoding: str | None
) -> None:
    response = client_with_build.get("/assets/main-1f2e.js", buffered=True, headers={"Accept-Encoding": accepted})

    assert response.headers.get("Content-Encoding") == encoding
    assert (gzip.decompress(response.data) if encoding else response.data) == SCRIPT.encode()
    assert response.mimetype == "text/javascript"
    assert "Accept-Encoding" in response.headers["Vary"]


def test_asset_is_cached_as_immutable(client_with_build: FlaskClient) -> None:
    response = client_with_build.get("/assets/small-3d4c.css", buffered=True)
    conditional = client_with_build.get(
        "/assets/small-3d4c.css", buffered=True, headers={"If-None-Match": response.headers["ETag"]}
    )

    assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert response.mimetype == "text/css"
    assert (conditional.status_code, conditional.data) == (304, b"")


def test_static_file_has_its_content_type(client_with_build: FlaskClient) -> None:
    response = client_with_build.get("/favicon.svg", buffered=True)

    assert (response.status_code, response.mimetype, response.text) == (200, "image/svg+xml", "<svg/>")


@pytest.mark.parametrize(
    "path", ["/../secret", "/%2e%2e/secret", "/..%2fsecret", "/assets/../../secret", "/assets/%2e%2e/%2e%2e/secret"]
)
def test_path_traversal_is_rejected(client_with_build: FlaskClient, path: str) -> None:
    assert "not for clients" not in client_with_build.get(path, buffered=True).text


def test_index_html_is_not_served_without_nonce(client_with_build: FlaskClient) -> None:
    assert "__CSP_NONCE__" not in client_with_build.get("/index.html", headers=BROWSER).text


# --- Without a client build ---


def test_root_without_build_links_to_docs_and_setup(
    client_without_build: FlaskClient,
) -> None:
    response = client_without_build.get("/")

    assert response.status_code == 200
    assert '<a href="/docs">' in response.text
    assert "Node.js" in response.text
    assert "make run" in response.text
    assert client_without_build.get("/docs").status_code == 200
    nonce = re.findall(r'<style nonce="([\w-]{20,})">', response.text)
    assert parse_csp(response.headers["Content-Security-Policy"])["style-src"] == {f"'nonce-{nonce[0]}'"}


@pytest.mark.parametrize("path", ["/login", "/index.html", "/assets/main-1f2e.js"])
def test_client_routes_without_build_return_404(client_without_build: FlaskClient, path: str) -> None:
    assert api_error(client_without_build.get(path, headers=BROWSER)) == (404, "not-found")


# --- Swagger UI ---


@pytest.mark.parametrize("path", ["/docs", "/docs/"])
def test_docs_load_only_own_assets_with_or_without_slash(client: FlaskClient, path: str) -> None:
    response = client.get(path)

    nonce = re.findall(r'<script nonce="([\w-]{20,})">', response.text)
    assert parse_csp(response.headers["Content-Security-Policy"])["script-src"] == {"'self'", f"'nonce-{nonce[0]}'"}
    files = re.findall(r'(?:src|href)="(.+?)"', response.text)
    assert {client.get(file, buffered=True).status_code for file in files} == {200}
    assert all(file.startswith("/docs/") for file in files)
    assert "http" not in response.text


def test_every_url_rule_is_a_resource_or_a_page(make_app: Callable[..., Flask]) -> None:
    app = make_app()

    pages = {
        rule.rule for rule in app.url_map.iter_rules() if not hasattr(app.view_functions[rule.endpoint], "view_class")
    }

    assert pages == {"/", "/assets/<path:name>", "/docs/", "/docs/<path:path>"}


@pytest.mark.parametrize("path", ["/docs/oauth2-redirect.html", "/docs/index.css", "/docs/no-such-file"])
def test_file_of_swagger_ui_is_no_500(client: FlaskClient, path: str) -> None:
    with client.get(path) as response:
        assert response.status_code in (200, 404)


@pytest.mark.parametrize("name", ["If-Modified-Since", "If-Unmodified-Since", "If-Range"])
def test_condition_with_impossible_time_zone_is_ignored(client: FlaskClient, name: str) -> None:
    date = "Thu, 01 Jan 1970 00:00:00 +99999999999999999999"

    with client.get("/docs/index.css", headers={name: date, "Range": "bytes=0-9"}) as response:
        assert response.status_code in (200, 206)
