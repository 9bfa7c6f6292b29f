"""The pages for people: the client at every address that the API leaves free, and what stands there without it."""

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
def without_client(app: Flask, tmp_path: Path) -> FlaskClient:
    """A client of a server whose React client is not built."""
    client_build.set(app, tmp_path / "nothing")
    return app.test_client()


@pytest.fixture
def with_client(app: Flask, tmp_path: Path) -> FlaskClient:
    """A client of a server with a small page in place of the React client, built as that is."""
    folder = tmp_path / "dist"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text('<meta property="csp-nonce" nonce="__CSP_NONCE__"><title>Kennel</title>')
    (folder / "favicon.svg").write_text("<svg/>")
    (folder / "assets" / "main-1f2e.js").write_text(SCRIPT)
    (folder / "assets" / "main-1f2e.js.gz").write_bytes(gzip.compress(SCRIPT.encode()))
    (folder / "assets" / "small-3d4c.css").write_text("a{}")
    (tmp_path / "secret").write_text("nobody reads this")
    client_build.set(app, folder)
    return app.test_client()


def directives(policy: str) -> dict[str, set[str]]:
    """A Content-Security-Policy by its directives."""
    return {name: set(sources) for name, *sources in (part.split() for part in policy.split(";"))}


# --- With the client ---


@pytest.mark.parametrize("path", ["/", "/login", "/dogs/7", "/login/", "/profile?next=/", "/some.thing"])
def test_a_browser_gets_the_client_at_every_address_that_the_api_leaves_free(
    with_client: FlaskClient, path: str
) -> None:
    response = with_client.get(path, headers=BROWSER)

    assert response.status_code == 200
    assert response.mimetype == "text/html"
    assert "<title>Kennel</title>" in response.text
    assert response.headers["Cache-Control"] == "no-cache"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/user/nothing", 404),
        ("/user/login", 405),
        ("/user", 404),
        ("/api/v1/cats", 404),
        ("/api", 404),
        ("/profile_pics/nothing.webp", 404),
        ("/health", 404),
        ("/errors/nothing", 404),
        ("/docs/nothing.js", 404),
        ("/assets/main-0000.js", 404),
        ("/openapi.json/more", 404),
    ],
)
def test_an_address_of_the_api_is_never_the_client(with_client: FlaskClient, path: str, status: int) -> None:
    assert api_error(with_client.get(path, headers=BROWSER))[0] == status


@pytest.mark.parametrize("accept", [None, "*/*", "application/json", "image/avif,image/webp,*/*;q=0.8"])
def test_a_program_gets_no_page_in_place_of_what_is_missing(with_client: FlaskClient, accept: str | None) -> None:
    response = with_client.get("/dog", headers={"Accept": accept} if accept else {})

    assert api_error(response) == (404, "not-found")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_nothing_can_be_sent_to_an_address_of_the_client(with_client: FlaskClient, method: str) -> None:
    assert api_error(with_client.open("/login", method=method, headers=BROWSER)) == (404, "not-found")


def test_its_policy_runs_no_inline_script_and_its_nonce_is_used_once(with_client: FlaskClient) -> None:
    first, second = (with_client.get("/", headers=BROWSER) for _ in range(2))

    policy = directives(first.headers["Content-Security-Policy"])
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
def test_an_asset_is_sent_as_the_browser_can_unpack_it(
    with_client: FlaskClient, accepted: str, encoding: str | None
) -> None:
    response = with_client.get("/assets/main-1f2e.js", buffered=True, headers={"Accept-Encoding": accepted})

    assert response.headers.get("Content-Encoding") == encoding
    assert (gzip.decompress(response.data) if encoding else response.data) == SCRIPT.encode()
    assert response.mimetype == "text/javascript"
    assert "Accept-Encoding" in response.headers["Vary"]


def test_an_asset_is_kept_for_good(with_client: FlaskClient) -> None:
    response = with_client.get("/assets/small-3d4c.css", buffered=True)
    again = with_client.get(
        "/assets/small-3d4c.css", buffered=True, headers={"If-None-Match": response.headers["ETag"]}
    )

    assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert response.mimetype == "text/css"
    assert (again.status_code, again.data) == (304, b"")


def test_a_file_beside_the_page_is_sent_as_what_it_is(with_client: FlaskClient) -> None:
    response = with_client.get("/favicon.svg", buffered=True)

    assert (response.status_code, response.mimetype, response.text) == (200, "image/svg+xml", "<svg/>")


@pytest.mark.parametrize(
    "path", ["/../secret", "/%2e%2e/secret", "/..%2fsecret", "/assets/../../secret", "/assets/%2e%2e/%2e%2e/secret"]
)
def test_no_address_leads_out_of_its_folder(with_client: FlaskClient, path: str) -> None:
    assert "nobody reads this" not in with_client.get(path, buffered=True).text


def test_the_bare_page_with_no_nonce_in_it_is_not_to_be_had(with_client: FlaskClient) -> None:
    assert "__CSP_NONCE__" not in with_client.get("/index.html", headers=BROWSER).text


# --- Without it ---


def test_without_the_client_the_first_page_leads_to_the_docs_and_says_how_to_get_it(
    without_client: FlaskClient,
) -> None:
    response = without_client.get("/")

    assert response.status_code == 200
    assert '<a href="/docs">' in response.text
    assert "Node.js" in response.text
    assert "make run" in response.text
    assert without_client.get("/docs").status_code == 200
    nonce = re.findall(r'<style nonce="([\w-]{20,})">', response.text)
    assert directives(response.headers["Content-Security-Policy"])["style-src"] == {f"'nonce-{nonce[0]}'"}


@pytest.mark.parametrize("path", ["/login", "/index.html", "/assets/main-1f2e.js"])
def test_without_the_client_its_addresses_are_404(without_client: FlaskClient, path: str) -> None:
    assert api_error(without_client.get(path, headers=BROWSER)) == (404, "not-found")


# --- The documentation ---


@pytest.mark.parametrize("path", ["/docs", "/docs/"])
def test_the_docs_answer_with_and_without_a_slash_and_load_from_here_alone(client: FlaskClient, path: str) -> None:
    response = client.get(path)

    nonce = re.findall(r'<script nonce="([\w-]{20,})">', response.text)
    assert directives(response.headers["Content-Security-Policy"])["script-src"] == {"'self'", f"'nonce-{nonce[0]}'"}
    files = re.findall(r'(?:src|href)="(.+?)"', response.text)
    assert {client.get(file, buffered=True).status_code for file in files} == {200}
    assert all(file.startswith("/docs/") for file in files)
    assert "http" not in response.text


def test_every_rule_is_a_resource_or_a_page(make_app: Callable[..., Flask]) -> None:
    app = make_app()

    pages = {
        rule.rule for rule in app.url_map.iter_rules() if not hasattr(app.view_functions[rule.endpoint], "view_class")
    }

    assert pages == {"/", "/assets/<path:name>", "/docs/", "/docs/<path:path>"}
