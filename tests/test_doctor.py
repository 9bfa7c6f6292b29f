"""CORS and cookie diagnosis: hints in dev mode, and `flask --app run doctor`, name the cause and the fix."""

from __future__ import annotations

import os
import re
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Page
from werkzeug.test import TestResponse

from api.security.cors_diagnosis import enable_refusal_hints

from .factories import PASSWORD, api_error, bearer_headers, capture_log, register
from .live_server import ROOT, Server, free_port

MakeApp = Callable[..., Flask]
API = "http://localhost:8000"
PAGE = "http://localhost:3000"
DEFAULT_ORIGINS = "http://localhost:3000,http://localhost:5173"
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}


@pytest.fixture
def make_dev_app(make_app: MakeApp) -> MakeApp:
    """Return a function that makes the application as in dev mode, with hints in errors."""

    def make(**overrides: Any) -> Flask:
        app = make_app(**overrides)
        enable_refusal_hints(app)
        return app

    return make


def send(
    client: FlaskClient,
    method: str,
    path: str,
    page: str | None,
    url: str = API,
    site: str | None = None,
    **kwargs: Any,
) -> TestResponse:
    """Send the request that Chromium sends when `page` calls `url`. `site` is Sec-Fetch-Site.

    Chromium sends Sec-Fetch-* only to https and to localhost.
    """
    headers = {"Origin": page, "Sec-Fetch-Site": site, "Sec-Fetch-Mode": site and "cors", **kwargs.pop("headers", {})}
    headers = {name: value for name, value in headers.items() if value is not None}
    return client.open(path, method=method, base_url=url, headers=headers, **kwargs)


def send_write(app: Flask, page: str | None, url: str = API, site: str | None = None, **headers: str) -> TestResponse:
    """Send an anonymous write, which changes nothing."""
    return send(app.test_client(), "POST", "/user/logout", page, url, site, headers=headers)


def send_read(app: Flask, page: str | None, url: str = API, site: str | None = None, **headers: str) -> TestResponse:
    """Send a read that needs a login, without a cookie."""
    return send(app.test_client(), "GET", "/user/profile", page, url, site, headers=headers)


def get_message(response: TestResponse) -> str:
    return response.json["status"]["message"]


def parse_settings(text: str) -> dict[str, str]:
    """Return the settings that a hint tells the reader to set, parsed as if pasted into `.env`."""
    return dict(re.findall(r"([A-Z_]{5,})=([^\s;,]+(?:,[^\s;,]+)*)", text.partition("Set ")[2] or text))


# --- Dev mode: an origin not in CORS_ORIGINS ---


@pytest.mark.parametrize(
    ("cors_origins", "page", "url", "site", "start"),
    [
        (DEFAULT_ORIGINS, "http://localhost:4000", API, "same-site",
         f"http://localhost:4000 is not in CORS_ORIGINS ({PAGE} is)"),
        (DEFAULT_ORIGINS, "http://127.0.0.1:3000", "http://127.0.0.1:8000", "same-site",
         f"http://127.0.0.1:3000 is not in CORS_ORIGINS ({PAGE} is)"),
        ("https://example.com", "https://www.example.com", "https://api.example.com", "same-site",
         "https://www.example.com is not in CORS_ORIGINS (https://example.com is)"),
        ("http://app.example.com", "https://app.example.com", "https://api.example.com", "same-site",
         "https://app.example.com is not in CORS_ORIGINS (http://app.example.com is)"),
        ("https://app.example.com", "https://kennel.test", "https://api.kennel.test", "same-site",
         "https://kennel.test is not in CORS_ORIGINS"),
        # Without TLS, on another machine, browsers send no Sec-Fetch-Site.
        (DEFAULT_ORIGINS, "http://192.168.1.5:3000", "http://192.168.1.5:8000", None,
         f"http://192.168.1.5:3000 is not in CORS_ORIGINS ({PAGE} is)"),
        (",", PAGE, API, "same-site", f"{PAGE} is not in CORS_ORIGINS"),
    ],
)  # fmt: skip
def test_unlisted_origin_hint_gives_cors_origins_value(
    make_dev_app: MakeApp, cors_origins: str, page: str, url: str, site: str | None, start: str
) -> None:
    app = make_dev_app(CORS_ORIGINS=cors_origins, PUBLIC_URL=url)

    response = send_write(app, page, url, site)

    assert api_error(response) == (403, "cross-site")
    expected_origins = ",".join(filter(None, [cors_origins.strip(","), page]))
    assert get_message(response) == f"{start}. Set CORS_ORIGINS={expected_origins} if it is your page"
    fixed_app = make_dev_app(PUBLIC_URL=url, **parse_settings(get_message(response)))
    assert send_write(fixed_app, page, url, site).status_code == 200
    assert get_message(send_read(fixed_app, page, url, site)) == "Authentication required"


@pytest.mark.parametrize("page", ["null", "chrome-extension://abcdefghijklmnop", "file://", f"{PAGE}, https://a.test"])
def test_opaque_origin_hint_says_to_serve_page(make_dev_app: MakeApp, page: str) -> None:
    response = send_write(make_dev_app(), page, API, "cross-site")

    assert api_error(response) == (403, "cross-site")
    assert get_message(response) == (
        f"A file, a sandboxed frame or an extension has no origin to list. Serve the page from {PAGE}"
    )


# --- Dev mode: localhost and 127.0.0.1 ---


TWO_SITES = "To a browser, {} and {} are two sites, and a SameSite=Lax cookie stays within one. "


@pytest.mark.parametrize("called_url", ["http://127.0.0.1:8000", "http://[::1]:8000", "http://kennel.localhost:8000"])
def test_other_loopback_name_hint_gives_url_to_call(make_dev_app: MakeApp, called_url: str) -> None:
    app = make_dev_app()

    response = send_read(app, PAGE, called_url, "cross-site")

    assert api_error(response) == (401, "unauthorized")
    two_sites = TWO_SITES.format("http://localhost", called_url.removesuffix(":8000"))
    assert get_message(response) == f"Authentication required. {two_sites}Call {API} instead of {called_url}"
    assert get_message(send_read(app, PAGE, API, "same-site")) == "Authentication required"


def test_other_loopback_name_hint_includes_public_url(make_dev_app: MakeApp) -> None:
    app = make_dev_app(PUBLIC_URL="http://127.0.0.1:8000")

    response = send_read(app, PAGE, "http://127.0.0.1:8000", "cross-site")

    assert get_message(response).endswith(f". Call {API} instead of http://127.0.0.1:8000 and set PUBLIC_URL={API}")


@pytest.mark.parametrize("page", ["http://127.0.0.1:3000", "http://[::1]:3000", "http://0.0.0.0:3000"])
@pytest.mark.parametrize("send_request", [send_write, send_read])
def test_page_on_other_loopback_name_hint_gives_page_url(
    make_dev_app: MakeApp, page: str, send_request: Callable[..., TestResponse]
) -> None:
    app = make_dev_app()

    response = send_request(app, page, API, "cross-site")

    two_sites = TWO_SITES.format(page.removesuffix(":3000"), "http://localhost")
    assert (
        get_message(response).removeprefix("Authentication required. ")
        == f"{two_sites}Open the page at {PAGE} instead of {page}"
    )
    assert send_write(app, PAGE, API, "same-site").status_code == 200


def test_page_on_other_name_and_port_hint_gives_both_fixes(make_dev_app: MakeApp) -> None:
    response = send_write(make_dev_app(), "http://127.0.0.1:4000", API, "cross-site")

    first, second = get_message(response).split(" instead of http://127.0.0.1:4000. ")
    assert first.endswith("Open the page at http://localhost:4000")
    assert parse_settings(second) == {"CORS_ORIGINS": f"{DEFAULT_ORIGINS},http://localhost:4000"}
    fixed_app = make_dev_app(**parse_settings(second))
    assert send_write(fixed_app, "http://localhost:4000", API, "same-site").status_code == 200


@pytest.mark.parametrize("cors_origins", [DEFAULT_ORIGINS, f"{DEFAULT_ORIGINS},https://localhost:3000"])
def test_https_page_on_localhost_hint_says_to_open_over_http(make_dev_app: MakeApp, cors_origins: str) -> None:
    response = send_read(make_dev_app(CORS_ORIGINS=cors_origins), "https://localhost:3000", API, "cross-site")

    two_sites = TWO_SITES.format("https://localhost", "http://localhost")
    assert (
        get_message(response)
        == f"Authentication required. {two_sites}Open the page at {PAGE} instead of https://localhost:3000"
    )


# --- Dev mode: a SameSite cookie between two sites ---


@pytest.mark.parametrize("same_site", ["Lax", "Strict"])
@pytest.mark.parametrize(
    ("page", "url", "site"),
    [
        ("https://app.example.com", "https://kennel.test", "cross-site"),
        ("https://anna.github.io", "https://kennel.github.io", "cross-site"),
        ("https://anna.github.io", "https://kennel.github.io", None),
        ("https://one.co.uk", "https://two.co.uk", None),
        ("https://192.168.1.5", "https://10.0.1.5", None),
        (PAGE, "https://api.example.com", "cross-site"),
        ("http://app.example.com", "http://kennel.test", None),
    ],
)
def test_cross_site_cookie_hint_gives_samesite_none(
    make_dev_app: MakeApp, same_site: str, page: str, url: str, site: str | None
) -> None:
    config = {"CORS_ORIGINS": page, "PUBLIC_URL": url, "SESSION_COOKIE_SAMESITE": same_site}
    app = make_dev_app(**config)

    response = send_read(app, page, url, site)

    assert api_error(response) == (401, "unauthorized")
    two_sites = f"{page.removesuffix(':3000')} and {url} are two sites, and a SameSite={same_site} cookie"
    assert two_sites in get_message(response)
    settings = parse_settings(get_message(response).partition("; or ")[2])
    https_settings = {} if url.startswith("https") else {"PUBLIC_URL": url.replace("http:", "https:")}
    assert settings == {"SESSION_COOKIE_SAMESITE": "None", **https_settings}
    fixed_app = make_dev_app(**{**config, **settings})
    url = url.replace("http:", "https:")
    client = fixed_app.test_client()
    body = {"username": "Anna", "email": "anna@example.com", "password": PASSWORD}
    registered = send(client, "POST", "/user/register", page, url, "cross-site", json=body)
    assert {"SameSite=None", "Secure"} <= set(registered.headers["Set-Cookie"].split("; "))
    assert send(client, "GET", "/user/profile", page, url, "cross-site").status_code == 200
    assert get_message(send_read(fixed_app, page, url, "cross-site")) == "Authentication required"


def test_https_page_with_http_api_hint_says_to_serve_https(make_dev_app: MakeApp) -> None:
    page, url = "https://app.example.com", "http://api.example.com:8000"

    response = send_read(make_dev_app(CORS_ORIGINS=page, PUBLIC_URL=url), page, url)

    assert get_message(response).endswith(" Set PUBLIC_URL=https://api.example.com and serve the API over https")
    fixed_app = make_dev_app(CORS_ORIGINS=page, **parse_settings(get_message(response)))
    assert get_message(send_read(fixed_app, page, "https://api.example.com", "same-site")) == "Authentication required"


def test_unlisted_cross_site_origin_hint_gives_both_fixes(make_dev_app: MakeApp) -> None:
    page, url = "https://app.example.com", "https://kennel.test"

    app = make_dev_app(PUBLIC_URL=url, CORS_ORIGINS=DEFAULT_ORIGINS)
    text = get_message(send_write(app, page, url, "cross-site"))

    assert "SESSION_COOKIE_SAMESITE=None" in text
    assert text.endswith(f"{page} is not in CORS_ORIGINS. Set CORS_ORIGINS={DEFAULT_ORIGINS},{page} if it is your page")


# --- Dev mode: a Secure cookie over http ---


@pytest.mark.parametrize(
    ("page", "url", "site", "browsers"),
    [
        ("http://app.example.com", "http://api.example.com", None, "browsers reject"),
        (PAGE, API, "same-site", "Safari rejects"),
    ],
)
@pytest.mark.parametrize("same_site", ["Lax", "None"])
def test_secure_cookie_over_http_hint_gives_public_url(
    make_dev_app: MakeApp, page: str, url: str, site: str | None, browsers: str, same_site: str
) -> None:
    config = {
        "CORS_ORIGINS": page,
        "PUBLIC_URL": "https://api.example.com",
        "SESSION_COOKIE_SAMESITE": same_site,
    }

    response = send_read(make_dev_app(**config), page, url, site)

    assert api_error(response) == (401, "unauthorized")
    start = f"PUBLIC_URL is https, so the cookie is Secure, and {browsers} such a cookie from {url}. "
    assert get_message(response).startswith(f"Authentication required. {start}")
    settings = parse_settings(get_message(response).partition("; or ")[2].partition(";")[0])
    assert settings == {"PUBLIC_URL": url, **({"SESSION_COOKIE_SAMESITE": "Lax"} if same_site == "None" else {})}
    fixed_app = make_dev_app(**{**config, **settings})
    assert "Secure" not in register(fixed_app, "Anna").post("/user/logout").headers["Set-Cookie"]
    assert get_message(send_read(fixed_app, page, url, site)) == "Authentication required"


@pytest.mark.parametrize(
    ("public_url", "url", "site"),
    [("https://api.example.com", API, "same-site"), (API, "http://127.0.0.1:8000", "cross-site")],
)
def test_request_with_cookie_gets_no_hint(make_dev_app: MakeApp, public_url: str, url: str, site: str) -> None:
    app = make_dev_app(PUBLIC_URL=public_url, CORS_ORIGINS=DEFAULT_ORIGINS)
    client = app.test_client()
    client.set_cookie(app.config["SESSION_COOKIE_NAME"], "ended", domain=url.partition("://")[2].partition(":")[0])

    assert get_message(send(client, "GET", "/user/profile", PAGE, url, site)) == "Authentication required"


@pytest.mark.parametrize("proxy_headers", [{"X-Forwarded-Proto": "https"}, {"Sec-Fetch-Site": "same-site"}])
def test_tls_terminating_proxy_gets_no_http_hint(make_dev_app: MakeApp, proxy_headers: dict[str, str]) -> None:
    page = "https://app.example.com"
    app = make_dev_app(CORS_ORIGINS=page, PUBLIC_URL="https://api.example.com")

    assert get_message(send_read(app, page, "http://api.example.com", **proxy_headers)) == "Authentication required"


@pytest.mark.parametrize("public_url", [API, "https://api.example.com"])
@pytest.mark.parametrize("proxy_headers", [{"X-Forwarded-Proto": "https"}, {"Sec-Fetch-Site": "same-origin"}])
def test_same_origin_behind_tls_proxy_hint_gives_settings(
    make_dev_app: MakeApp, public_url: str, proxy_headers: dict[str, str]
) -> None:
    page, url = "https://kennel.test", "http://kennel.test"

    response = send_write(make_dev_app(PUBLIC_URL=public_url), page, url, **proxy_headers)

    assert api_error(response) == (403, "cross-site")
    assert parse_settings(get_message(response)) == {"PUBLIC_URL": page, "TRUSTED_PROXIES": "1"}
    fixed_app = make_dev_app(**parse_settings(get_message(response)))
    assert send_write(fixed_app, page, url, **proxy_headers).status_code == 200


# --- Dev mode: requests that get no hint ---


@pytest.mark.parametrize(
    ("page", "url", "site", "config"),
    [
        (PAGE, API, "same-site", {}),
        (API, API, "same-origin", {}),
        (None, API, "same-origin", {}),
        (None, API, None, {}),
        ("https://app.example.com", "https://api.example.com", "same-site", {}),
        ("https://app.example.com", "https://api.example.com", None, {}),
        ("http://192.168.1.5:3000", "http://192.168.1.5:8000", None, {}),
        # Sec-Fetch-Site takes precedence over our list of public suffixes.
        ("https://anna.github.io", "https://kennel.github.io", "same-site", {}),
        ("https://app.example.com", "https://kennel.test", "cross-site", {"SESSION_COOKIE_SAMESITE": "None"}),
    ],
)
def test_anonymous_request_gets_no_hint(
    make_dev_app: MakeApp, page: str | None, url: str, site: str | None, config: dict[str, str]
) -> None:
    app = make_dev_app(CORS_ORIGINS=page or DEFAULT_ORIGINS, PUBLIC_URL=url, **config)
    log = capture_log()

    assert get_message(send_read(app, page, url, site)) == "Authentication required"
    assert send_write(app, page, url, site).status_code == 200
    assert "WARNING" not in log.getvalue()


def test_wrong_password_gets_no_hint(make_dev_app: MakeApp) -> None:
    login = {"username": "Anna", "password": "wrong password"}

    response = send(
        make_dev_app().test_client(), "POST", "/user/login", PAGE, "http://127.0.0.1:8000", "cross-site", json=login
    )

    assert get_message(response) == "Username or Password is incorrect"


def test_invalid_token_gets_no_hint(make_dev_app: MakeApp) -> None:
    app = make_dev_app()
    log = capture_log()

    response = send_read(app, PAGE, "http://127.0.0.1:8000", "cross-site", Authorization="Bearer bad")

    assert get_message(response) == "Invalid or expired token"
    assert "WARNING" not in log.getvalue()


def test_non_browser_and_bearer_requests_get_no_hint(make_dev_app: MakeApp) -> None:
    app = make_dev_app(PUBLIC_URL="https://api.example.com")
    register(app, "Anna")

    assert get_message(send_read(app, None)) == "Authentication required"
    assert send_read(app, "https://evil.example", API, "cross-site", **bearer_headers("Anna")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [("OPTIONS", "/user/login", PREFLIGHT), ("GET", "/api/v1/dogs", {}), ("POST", "/user/login", {})],
)
def test_response_hidden_by_browser_is_logged_as_warning(
    make_dev_app: MakeApp, method: str, path: str, headers: dict[str, str]
) -> None:
    anna = register(make_dev_app(), "Anna")
    cookie = anna.get_cookie("kennel_session")
    log = capture_log()

    send(anna, method, path, "http://localhost:4000", API, "same-site", headers=headers)

    (warning,) = [line for line in log.getvalue().splitlines() if " WARNING " in line]
    expected_fix = f"Set CORS_ORIGINS={DEFAULT_ORIGINS},http://localhost:4000 if it is your page"
    assert f"http://localhost:4000 is not in CORS_ORIGINS ({PAGE} is). {expected_fix}" in warning
    assert cookie
    assert cookie.value not in log.getvalue()


def test_401_for_missing_cookie_is_logged_as_warning(make_dev_app: MakeApp) -> None:
    app = make_dev_app()
    log = capture_log()

    send_read(app, PAGE, "http://127.0.0.1:8000", "cross-site")

    (warning,) = [line for line in log.getvalue().splitlines() if " WARNING " in line]
    assert f"Call {API} instead of http://127.0.0.1:8000" in warning


@pytest.mark.parametrize("page", ["http://[::1", "http://a:99999", "https://" + "a" * 5000, "http://Ã¼.test", "://"])
@pytest.mark.parametrize("host", ["a b", "a:99999", "[::1", "x" * 5000, "", "..", "localhost:8000"])
def test_malformed_headers_do_not_change_status(make_dev_app: MakeApp, make_app: MakeApp, page: str, host: str) -> None:
    headers = {"Origin": page, "Host": host, "Sec-Fetch-Site": "anything"}

    statuses = [
        (
            client.post("/user/logout", headers=headers).status_code,
            client.get("/user/profile", headers=headers).status_code,
        )
        for client in (make_app().test_client(), make_dev_app().test_client())
    ]

    assert statuses[0] == statuses[1]
    assert statuses[0][0] == 403
    assert statuses[0][1] in (400, 401)


def test_production_errors_do_not_disclose_settings(make_app: MakeApp) -> None:
    app = make_app(PUBLIC_URL="https://api.example.com")
    log = capture_log()

    forbidden = send_write(app, "http://localhost:4000", API, "same-site")
    preflight = send(app.test_client(), "OPTIONS", "/user/login", "http://localhost:4000", API, headers=PREFLIGHT)
    unauthorized = send_read(app, PAGE, "http://127.0.0.1:8000", "cross-site")

    generic = "Cross-origin request refused. Add the origin to CORS_ORIGINS to allow it"
    assert get_message(forbidden) == generic
    assert preflight.status_code == 200
    assert get_message(unauthorized) == "Authentication required"
    assert "WARNING" not in log.getvalue()


# --- The dev server and a real browser ---


class BlankPage(BaseHTTPRequestHandler):
    """An empty page, on any path."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Suppress the request log."""


@contextmanager
def http_server(handler: type[BaseHTTPRequestHandler], certificate: Path | None = None) -> Iterator[int]:
    """Serve with this handler within the block, over TLS if a certificate is given. Yield the port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


REGISTER = """async url => {
  const fields = {username: "Anna", email: "anna@example.com", password: "correct horse"}
  const headers = {"Content-Type": "application/json"}
  const options = {method: "POST", credentials: "include", headers, body: JSON.stringify(fields)}
  const registered = await fetch(url + "/user/register", options)
  return registered.status
}"""
READ = """async url => {
  const response = await fetch(url + "/user/profile", {credentials: "include"})
  const {status} = await response.json()
  return [status.code, status.message]
}"""


def test_following_hints_in_browser_logs_in(tmp_path: Path, page: Page) -> None:
    with http_server(BlankPage) as port:
        server = Server(tmp_path / "dev", CORS_ORIGINS=f"http://localhost:{port}")
        localhost = f"http://localhost:{server.port}"
        try:
            server.start("--dev")
            # The page is on localhost but calls 127.0.0.1, so the browser withholds the cookie.
            page.goto(f"http://localhost:{port}")
            assert page.evaluate(REGISTER, server.url) == 201
            code, text = page.evaluate(READ, server.url)
            assert code == 401
            assert text.endswith(f"Call {localhost} instead of {server.url}")
            # The page is on an unlisted origin, so the browser hides the response, and the hint is in the log.
            page.goto(f"http://127.0.0.1:{port}")
            with pytest.raises(Exception, match="Failed to fetch"):
                page.evaluate(READ, localhost)
            hint = f"Open the page at http://localhost:{port} instead of http://127.0.0.1:{port}"
            assert hint in server.output()
            # Follow both hints.
            page.goto(f"http://localhost:{port}")
            register_bob = REGISTER.replace("Anna", "Bob").replace("anna@", "bob@")
            assert page.evaluate(register_bob, localhost) == 201
            assert page.evaluate(READ, localhost) == [200, "Success"]
        finally:
            server.kill()


# --- flask --app run doctor ---


@pytest.fixture(scope="module")
def default_server(system: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real server with default settings."""
    with Server(tmp_path_factory.mktemp("doctor") / "server") as server:
        yield server


@pytest.fixture(scope="session")
def certificate(system: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate of localhost, with its key."""
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    options = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    subprocess.run(["openssl", *options.split(), "-keyout", path, "-out", path], check=True, capture_output=True)
    return path


@pytest.fixture
def run_doctor(make_app: MakeApp) -> Callable[..., Result]:
    """Return a function that runs the command with the settings of a server."""

    def run(server: Server, page: str, url: str | None = None, **settings: str) -> Result:
        names = ("PORT", "PUBLIC_URL", "CORS_ORIGINS", "SESSION_COOKIE_SAMESITE", "TRUSTED_PROXIES")
        config = {name: server.settings[name] for name in names if name in server.settings}
        app = make_app(**{**config, **settings})
        return app.test_cli_runner().invoke(args=["doctor", "--origin", page, *(["--url", url] if url else [])])

    return run


def read_findings(result: Result) -> str:
    """Return the findings that the command prints, after asserting that a check and the command failed."""
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit)
    assert "FAIL: " in result.output
    return "\n".join(line for line in result.output.splitlines()[1:] if not line.startswith(("PASS: ", "FAIL: ")))


def make_proxy(server: Server, **change: Any) -> type[BaseHTTPRequestHandler]:
    """Return the handler of a reverse proxy in front of a server, which interferes according to `change`:

    `add` headers to responses, answer methods in `refuse` by 405, or redirect everything `to` a URL.
    """

    class ProxyHandler(BlankPage):
        def forward(self) -> None:
            if "to" in change or self.command in change.get("refuse", ()):
                self.send_response(301 if "to" in change else 405)
                self.send_header("Location", f"{change.get('to')}{self.path}")
                self.end_headers()
                return
            connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
            connection.request(self.command, self.path, headers={**self.headers, "X-Forwarded-Proto": "https"})
            response = connection.getresponse()
            content = response.read()
            self.send_response(response.status)
            for name, value in [*response.getheaders(), *change.get("add", {}).items()]:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)
            connection.close()

        do_GET = do_POST = do_OPTIONS = forward  # noqa: N815 - names given by the standard library

    return ProxyHandler


def format_checks(*failed: int, cookie: str = "SameSite=Lax") -> list[str]:
    """Return the lines of the command's checks, in which those at the indexes `failed` fail."""
    names = [
        "Login preflight (OPTIONS /user/login)",
        "Read (GET /api/v1/dogs)",
        "Write (POST /user/logout)",
        f"Session cookie ({cookie})",
    ]
    return [f"{'FAIL' if number in failed else 'PASS'}: {name}" for number, name in enumerate(names)]


def test_doctor_passes_with_default_settings(default_server: Server, run_doctor: Callable[..., Result]) -> None:
    result = run_doctor(default_server, PAGE)

    assert result.output.splitlines() == [
        f"A page at {PAGE} calls http://localhost:{default_server.port}:",
        *format_checks(),
    ]
    assert result.exit_code == 0


def test_doctor_skips_preflight_for_same_origin(default_server: Server, run_doctor: Callable[..., Result]) -> None:
    result = run_doctor(default_server, f"http://localhost:{default_server.port}")

    assert result.output.splitlines()[1:] == format_checks()[1:]
    assert result.exit_code == 0


def test_doctor_gives_cors_origins_value(
    default_server: Server, run_doctor: Callable[..., Result], tmp_path: Path
) -> None:
    page = "http://localhost:4000"

    result = run_doctor(default_server, page)

    expected_origins = f"{DEFAULT_ORIGINS},{page}"
    assert (
        read_findings(result)
        == f"{page} is not in CORS_ORIGINS ({PAGE} is). Set CORS_ORIGINS={expected_origins} if it is your page"
    )
    assert result.output.splitlines()[1:5] == format_checks(0, 1, 2)
    with Server(tmp_path / "fixed", **parse_settings(read_findings(result))) as fixed_server:
        assert run_doctor(fixed_server, page).exit_code == 0


def test_doctor_detects_outdated_server_settings(default_server: Server, run_doctor: Callable[..., Result]) -> None:
    page = "http://localhost:4000"

    result = run_doctor(default_server, page, CORS_ORIGINS=f"{DEFAULT_ORIGINS},{page}")

    assert read_findings(result) == (
        f"CORS_ORIGINS has {page}, but the server does not allow it. Restart the server with this setting"
    )


def test_doctor_trusts_server_over_local_settings(default_server: Server, run_doctor: Callable[..., Result]) -> None:
    assert run_doctor(default_server, PAGE, CORS_ORIGINS="https://www.example.com").exit_code == 0


def test_doctor_says_to_serve_page_for_null_origin(default_server: Server, run_doctor: Callable[..., Result]) -> None:
    assert read_findings(run_doctor(default_server, "null")).endswith(f"Serve the page from {PAGE}")


def test_doctor_distinguishes_localhost_from_127_0_0_1(
    default_server: Server, run_doctor: Callable[..., Result]
) -> None:
    localhost, ip_url = f"http://localhost:{default_server.port}", f"http://127.0.0.1:{default_server.port}"

    call_result = run_doctor(default_server, PAGE, ip_url)
    page_result = run_doctor(default_server, "http://127.0.0.1:3000")

    assert read_findings(call_result).endswith(f"Call {localhost} instead of {ip_url}")
    assert call_result.output.splitlines()[1:5] == format_checks(3)
    assert read_findings(page_result).endswith(f"Open the page at {PAGE} instead of http://127.0.0.1:3000")
    assert run_doctor(default_server, PAGE, localhost).exit_code == 0


def test_doctor_gives_settings_for_cross_site_cookie(
    run_doctor: Callable[..., Result], tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    page = "https://app.example.com"
    server = Server(tmp_path / "server", CORS_ORIGINS=page)
    with http_server(make_proxy(server), certificate) as port:
        url = f"https://localhost:{port}"
        with server:
            result = run_doctor(server, page, url)
            hint = read_findings(result).partition("; or ")[2]
            assert parse_settings(hint) == {"SESSION_COOKIE_SAMESITE": "None", "PUBLIC_URL": url}
            assert result.output.splitlines()[1:5] == format_checks(3)
        server.settings |= parse_settings(hint)
        with server:
            result = run_doctor(server, page)
            assert result.output.splitlines()[1:] == format_checks(cookie="SameSite=None, Secure")
            assert result.exit_code == 0


@pytest.mark.system
def test_doctor_detects_secure_cookie_over_http(run_doctor: Callable[..., Result], tmp_path: Path) -> None:
    with Server(tmp_path / "server", PUBLIC_URL="https://api.example.com") as server:
        url = f"http://localhost:{server.port}"

        # The command's own settings differ: those of the server count.
        result = run_doctor(server, PAGE, url, PUBLIC_URL=url)

        assert "FAIL: Session cookie (SameSite=Lax, Secure)" in result.output
        assert read_findings(result).startswith("PUBLIC_URL is https, so the cookie is Secure")
        settings = parse_settings(read_findings(result).partition("; or ")[2].partition(";")[0])
        assert settings == {"PUBLIC_URL": url}
    server.settings |= settings
    with server:
        assert run_doctor(server, PAGE).exit_code == 0


def test_doctor_gives_settings_for_same_origin_behind_tls(
    run_doctor: Callable[..., Result], tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    server = Server(tmp_path / "server")
    with http_server(make_proxy(server), certificate) as port:
        url = f"https://localhost:{port}"
        with server:
            settings = parse_settings(read_findings(run_doctor(server, url, url)))
            assert settings == {"PUBLIC_URL": url, "TRUSTED_PROXIES": "1"}
        server.settings |= settings
        with server:
            assert run_doctor(server, url).exit_code == 0


def test_doctor_detects_untrusted_certificate(
    default_server: Server, run_doctor: Callable[..., Result], certificate: Path
) -> None:
    with http_server(make_proxy(default_server), certificate) as port:
        result = run_doctor(default_server, PAGE, f"https://localhost:{port}")

    assert read_findings(result).startswith(f"Browsers do not trust the certificate of https://localhost:{port} (self")


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"to": "https://api.example.com"}, " redirects to https://api.example.com, but browsers do not follow"),
        ({"refuse": ["OPTIONS"]}, "A proxy responds to OPTIONS with 405. Let it forward preflights to Kennel"),
        ({"refuse": ["GET", "POST"]}, " is not a Kennel server. Set --url or PUBLIC_URL to its address"),
        ({"add": {"Access-Control-Allow-Origin": "*"}}, "A proxy adds Access-Control headers"),
        ({"add": {"Access-Control-Allow-Credentials": "true"}}, "A proxy adds Access-Control headers"),
    ],
)
def test_doctor_detects_interfering_proxy(
    default_server: Server, run_doctor: Callable[..., Result], change: dict[str, Any], cause: str
) -> None:
    with http_server(make_proxy(default_server, **change)) as port:
        result = run_doctor(default_server, PAGE, f"http://localhost:{port}")

    assert cause in read_findings(result)
    assert len(read_findings(result).splitlines()) == 1


@pytest.mark.system
def test_doctor_reports_server_error(run_doctor: Callable[..., Result], tmp_path: Path) -> None:
    with Server(tmp_path / "server") as server:
        (tmp_path / "server" / "dogs.sqlite").write_bytes(b"no database")

        result = run_doctor(server, PAGE)

    assert re.search(r"^Kennel responds with 5..\. Check its log$", read_findings(result))


def test_doctor_reports_unreachable_or_other_server(run_doctor: Callable[..., Result], default_server: Server) -> None:
    closed = f"http://localhost:{free_port()}"
    with http_server(BlankPage) as port:
        url = f"http://localhost:{port}"
        assert f"{url} is not a Kennel server" in read_findings(run_doctor(default_server, PAGE, url))
        url = f"https://localhost:{port}"
        assert f"Cannot connect to {url}" in read_findings(run_doctor(default_server, PAGE, url))
    for url in (closed, "http://kennel.invalid", "http://a..b"):
        assert re.fullmatch(
            rf"Cannot connect to {re.escape(url)} \(.+\)\. Start the server, .*",
            read_findings(run_doctor(default_server, PAGE, url)),
        )


@pytest.mark.parametrize("option", ["--origin", "--url"])
@pytest.mark.parametrize(
    "value", ["localhost:3000", "http://localhost:3000/dogs", "ftp://a.test", "http://[::1", "*", ""]
)
def test_doctor_rejects_invalid_origin_with_one_line(app: Flask, option: str, value: str) -> None:
    options = {"--origin": PAGE, option: value}

    result = app.test_cli_runner().invoke(args=["doctor", *(word for pair in options.items() for word in pair)])

    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert re.fullmatch(rf"Error: {option}: .+\. For example: http://localhost:3000\n", result.output)


def test_doctor_runs_in_flask_cli_without_database(default_server: Server, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        **default_server.settings,
        "DATABASE_URL": f"sqlite:///{tmp_path / 'nowhere' / 'dogs.sqlite'}",
    }

    def flask(*arguments: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "flask", "--app", "run", "doctor", *arguments]
        process = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert process.stderr == ""
        return process.returncode, process.stdout

    assert flask("--origin", PAGE) == (
        0,
        "\n".join([f"A page at {PAGE} calls http://localhost:{default_server.port}:", *format_checks(), ""]),
    )
    assert flask("--origin", "http://localhost:4000")[0] == 1
