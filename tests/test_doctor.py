"""The doctor: refusals in dev mode, and `flask --app run doctor`, name the cause and the setting to change."""

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
DEFAULT = "http://localhost:3000,http://localhost:5173"
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}


@pytest.fixture
def dev(make_app: MakeApp) -> MakeApp:
    """Makes the application as dev mode has it."""

    def make(**overrides: Any) -> Flask:
        app = make_app(**overrides)
        enable_refusal_hints(app)
        return app

    return make


def ask(
    client: FlaskClient, method: str, path: str, page: str | None, url: str = API, site: str | None = None, **more: Any
) -> TestResponse:
    """The answer to what Chromium sends when this page calls `url`; `site` is its Sec-Fetch-Site.

    It sends that over https and to its own machine, and so it does the mode.
    """
    headers = {"Origin": page, "Sec-Fetch-Site": site, "Sec-Fetch-Mode": site and "cors", **more.pop("headers", {})}
    sent = {name: value for name, value in headers.items() if value is not None}
    return client.open(path, method=method, base_url=url, headers=sent, **more)


def write(app: Flask, page: str | None, url: str = API, site: str | None = None, **headers: str) -> TestResponse:
    """The answer to a write that changes nothing, by nobody."""
    return ask(app.test_client(), "POST", "/user/logout", page, url, site, headers=headers)


def profile(app: Flask, page: str | None, url: str = API, site: str | None = None, **headers: str) -> TestResponse:
    """The answer to a read that needs a login, without a cookie."""
    return ask(app.test_client(), "GET", "/user/profile", page, url, site, headers=headers)


def message(answer: TestResponse) -> str:
    return answer.json["status"]["message"]


def settings_in(text: str) -> dict[str, str]:
    """The settings that a text says to set, as somebody would paste them."""
    return dict(re.findall(r"([A-Z_]{5,})=([^\s;,]+(?:,[^\s;,]+)*)", text.partition("Set ")[2] or text))


# Dev mode: an origin that is not listed


@pytest.mark.parametrize(
    ("listed", "page", "url", "site", "start"),
    [
        (DEFAULT, "http://localhost:4000", API, "same-site",
         f"http://localhost:4000 is not in CORS_ORIGINS ({PAGE} is)"),
        (DEFAULT, "http://127.0.0.1:3000", "http://127.0.0.1:8000", "same-site",
         f"http://127.0.0.1:3000 is not in CORS_ORIGINS ({PAGE} is)"),
        ("https://example.com", "https://www.example.com", "https://api.example.com", "same-site",
         "https://www.example.com is not in CORS_ORIGINS (https://example.com is)"),
        ("http://app.example.com", "https://app.example.com", "https://api.example.com", "same-site",
         "https://app.example.com is not in CORS_ORIGINS (http://app.example.com is)"),
        ("https://app.example.com", "https://kennel.test", "https://api.kennel.test", "same-site",
         "https://kennel.test is not in CORS_ORIGINS"),
        # Without TLS, on another machine, browsers send no Sec-Fetch-Site.
        (DEFAULT, "http://192.168.1.5:3000", "http://192.168.1.5:8000", None,
         f"http://192.168.1.5:3000 is not in CORS_ORIGINS ({PAGE} is)"),
        (",", PAGE, API, "same-site", f"{PAGE} is not in CORS_ORIGINS"),
    ],
)  # fmt: skip
def test_an_origin_that_is_not_listed_is_told_the_list_to_set(
    dev: MakeApp, listed: str, page: str, url: str, site: str | None, start: str
) -> None:
    app = dev(CORS_ORIGINS=listed, PUBLIC_URL=url)

    answer = write(app, page, url, site)

    assert api_error(answer) == (403, "cross-site")
    wanted = ",".join(filter(None, [listed.strip(","), page]))
    assert message(answer) == f"{start}. Set CORS_ORIGINS={wanted} if it is your page"
    mended = dev(PUBLIC_URL=url, **settings_in(message(answer)))
    assert write(mended, page, url, site).status_code == 200
    assert message(profile(mended, page, url, site)) == "Authentication required"


@pytest.mark.parametrize("page", ["null", "chrome-extension://abcdefghijklmnop", "file://", f"{PAGE}, https://a.test"])
def test_a_page_without_an_origin_to_list_is_told_where_to_be_served(dev: MakeApp, page: str) -> None:
    answer = write(dev(), page, API, "cross-site")

    assert api_error(answer) == (403, "cross-site")
    assert message(answer) == (
        f"A file, a sandboxed frame or an extension has no origin to list. Serve the page from {PAGE}"
    )


# Dev mode: localhost against 127.0.0.1


TWO_NAMES = "To a browser, {} and {} are two sites, and a SameSite=Lax cookie stays within one. "


@pytest.mark.parametrize("called", ["http://127.0.0.1:8000", "http://[::1]:8000", "http://kennel.localhost:8000"])
def test_who_calls_this_machine_by_another_name_than_the_page_is_told_which(dev: MakeApp, called: str) -> None:
    app = dev()

    answer = profile(app, PAGE, called, "cross-site")

    assert api_error(answer) == (401, "unauthorized")
    two_names = TWO_NAMES.format("http://localhost", called.removesuffix(":8000"))
    assert message(answer) == f"Authentication required. {two_names}Call {API} instead of {called}"
    assert message(profile(app, PAGE, API, "same-site")) == "Authentication required"


def test_a_public_url_of_another_name_is_to_be_changed_too(dev: MakeApp) -> None:
    app = dev(PUBLIC_URL="http://127.0.0.1:8000")

    answer = profile(app, PAGE, "http://127.0.0.1:8000", "cross-site")

    assert message(answer).endswith(f". Call {API} instead of http://127.0.0.1:8000 and set PUBLIC_URL={API}")


@pytest.mark.parametrize("page", ["http://127.0.0.1:3000", "http://[::1]:3000", "http://0.0.0.0:3000"])
@pytest.mark.parametrize("ask_as", [write, profile])
def test_a_page_of_another_name_for_this_machine_is_told_where_to_be_opened(
    dev: MakeApp, page: str, ask_as: Callable[..., TestResponse]
) -> None:
    app = dev()

    answer = ask_as(app, page, API, "cross-site")

    two_names = TWO_NAMES.format(page.removesuffix(":3000"), "http://localhost")
    assert (
        message(answer).removeprefix("Authentication required. ")
        == f"{two_names}Open the page at {PAGE} instead of {page}"
    )
    assert write(app, PAGE, API, "same-site").status_code == 200


def test_a_page_of_another_name_and_another_port_is_told_both(dev: MakeApp) -> None:
    answer = write(dev(), "http://127.0.0.1:4000", API, "cross-site")

    first, second = message(answer).split(" instead of http://127.0.0.1:4000. ")
    assert first.endswith("Open the page at http://localhost:4000")
    assert settings_in(second) == {"CORS_ORIGINS": f"{DEFAULT},http://localhost:4000"}
    mended = dev(**settings_in(second))
    assert write(mended, "http://localhost:4000", API, "same-site").status_code == 200


@pytest.mark.parametrize("listed", [DEFAULT, f"{DEFAULT},https://localhost:3000"])
def test_a_page_of_this_machine_over_https_is_told_to_be_opened_over_http(dev: MakeApp, listed: str) -> None:
    answer = profile(dev(CORS_ORIGINS=listed), "https://localhost:3000", API, "cross-site")

    two_names = TWO_NAMES.format("https://localhost", "http://localhost")
    assert (
        message(answer)
        == f"Authentication required. {two_names}Open the page at {PAGE} instead of https://localhost:3000"
    )


# Dev mode: a SameSite cookie between two sites


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
def test_a_cookie_that_does_not_cross_sites_is_told_with_the_setting_that_lets_it(
    dev: MakeApp, same_site: str, page: str, url: str, site: str | None
) -> None:
    config = {"CORS_ORIGINS": page, "PUBLIC_URL": url, "SESSION_COOKIE_SAMESITE": same_site}
    app = dev(**config)

    answer = profile(app, page, url, site)

    assert api_error(answer) == (401, "unauthorized")
    assert f"{page.removesuffix(':3000')} and {url} are two sites, and a SameSite={same_site} cookie" in message(answer)
    settings = settings_in(message(answer).partition("; or ")[2])
    secured = {} if url.startswith("https") else {"PUBLIC_URL": url.replace("http:", "https:")}
    assert settings == {"SESSION_COOKIE_SAMESITE": "None", **secured}
    mended = dev(**{**config, **settings})
    url = url.replace("http:", "https:")
    client = mended.test_client()
    body = {"username": "Anna", "email": "anna@example.com", "password": PASSWORD}
    registered = ask(client, "POST", "/user/register", page, url, "cross-site", json=body)
    assert {"SameSite=None", "Secure"} <= set(registered.headers["Set-Cookie"].split("; "))
    assert ask(client, "GET", "/user/profile", page, url, "cross-site").status_code == 200
    assert message(profile(mended, page, url, "cross-site")) == "Authentication required"


def test_an_api_without_tls_is_told_to_have_it_for_a_page_with_tls_on_its_domain(dev: MakeApp) -> None:
    page, url = "https://app.example.com", "http://api.example.com:8000"

    answer = profile(dev(CORS_ORIGINS=page, PUBLIC_URL=url), page, url)

    assert message(answer).endswith(" Set PUBLIC_URL=https://api.example.com and serve the API over https")
    mended = dev(CORS_ORIGINS=page, **settings_in(message(answer)))
    assert message(profile(mended, page, "https://api.example.com", "same-site")) == "Authentication required"


def test_an_origin_that_is_not_listed_on_another_site_is_told_both(dev: MakeApp) -> None:
    page, url = "https://app.example.com", "https://kennel.test"

    text = message(write(dev(PUBLIC_URL=url), page, url, "cross-site"))

    assert "SESSION_COOKIE_SAMESITE=None" in text
    assert text.endswith(f"{page} is not in CORS_ORIGINS. Set CORS_ORIGINS={DEFAULT},{page} if it is your page")


# Dev mode: a Secure cookie over http


@pytest.mark.parametrize(
    ("page", "url", "site", "who"),
    [
        ("http://app.example.com", "http://api.example.com", None, "browsers reject"),
        (PAGE, API, "same-site", "Safari rejects"),
    ],
)
@pytest.mark.parametrize("same_site", ["Lax", "None"])
def test_a_secure_cookie_over_http_is_told_with_the_setting_that_makes_it_plain(
    dev: MakeApp, page: str, url: str, site: str | None, who: str, same_site: str
) -> None:
    config = {
        "CORS_ORIGINS": page,
        "PUBLIC_URL": "https://api.example.com",
        "SESSION_COOKIE_SAMESITE": same_site,
    }

    answer = profile(dev(**config), page, url, site)

    assert api_error(answer) == (401, "unauthorized")
    start = (
        f"Authentication required. PUBLIC_URL is https, so the cookie is Secure, and {who} such a cookie from {url}. "
    )
    assert message(answer).startswith(start)
    settings = settings_in(message(answer).partition("; or ")[2].partition(";")[0])
    assert settings == {"PUBLIC_URL": url, **({"SESSION_COOKIE_SAMESITE": "Lax"} if same_site == "None" else {})}
    mended = dev(**{**config, **settings})
    assert "Secure" not in register(mended, "Anna").post("/user/logout").headers["Set-Cookie"]
    assert message(profile(mended, page, url, site)) == "Authentication required"


@pytest.mark.parametrize(
    ("public_url", "url", "site"),
    [("https://api.example.com", API, "same-site"), (API, "http://127.0.0.1:8000", "cross-site")],
)
def test_a_cookie_that_came_needs_no_other_settings(dev: MakeApp, public_url: str, url: str, site: str) -> None:
    client = dev(PUBLIC_URL=public_url).test_client()
    client.set_cookie("session", "ended", domain=url.partition("://")[2].partition(":")[0])

    assert message(ask(client, "GET", "/user/profile", PAGE, url, site)) == "Authentication required"


@pytest.mark.parametrize("signs", [{"X-Forwarded-Proto": "https"}, {"Sec-Fetch-Site": "same-site"}])
def test_tls_that_ends_at_a_proxy_is_no_plain_http(dev: MakeApp, signs: dict[str, str]) -> None:
    page = "https://app.example.com"
    app = dev(CORS_ORIGINS=page, PUBLIC_URL="https://api.example.com")

    assert message(profile(app, page, "http://api.example.com", **signs)) == "Authentication required"


@pytest.mark.parametrize("public_url", [API, "https://api.example.com"])
@pytest.mark.parametrize("signs", [{"X-Forwarded-Proto": "https"}, {"Sec-Fetch-Site": "same-origin"}])
def test_the_servers_own_page_behind_a_proxy_that_ends_tls_is_told_the_settings_of_that_proxy(
    dev: MakeApp, public_url: str, signs: dict[str, str]
) -> None:
    page, seen = "https://kennel.test", "http://kennel.test"

    answer = write(dev(PUBLIC_URL=public_url), page, seen, **signs)

    assert api_error(answer) == (403, "cross-site")
    assert settings_in(message(answer)) == {"PUBLIC_URL": page, "TRUSTED_PROXIES": "1"}
    assert write(dev(**settings_in(message(answer))), page, seen, **signs).status_code == 200


# Dev mode: nothing to find, nothing to fear


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
        # What the browser says of sites counts more than our list.
        ("https://anna.github.io", "https://kennel.github.io", "same-site", {}),
        ("https://app.example.com", "https://kennel.test", "cross-site", {"SESSION_COOKIE_SAMESITE": "None"}),
    ],
)
def test_a_page_that_has_only_not_logged_in_is_told_just_that(
    dev: MakeApp, page: str | None, url: str, site: str | None, config: dict[str, str]
) -> None:
    app = dev(CORS_ORIGINS=page or DEFAULT, PUBLIC_URL=url, **config)
    log = capture_log()

    assert message(profile(app, page, url, site)) == "Authentication required"
    assert write(app, page, url, site).status_code == 200
    assert "WARNING" not in log.getvalue()


def test_a_wrong_password_is_no_matter_of_cookies(dev: MakeApp) -> None:
    login = {"username": "Anna", "password": "wrong password"}

    answer = ask(dev().test_client(), "POST", "/user/login", PAGE, "http://127.0.0.1:8000", "cross-site", json=login)

    assert message(answer) == "Username or Password is incorrect"


def test_a_bad_token_is_no_matter_of_cookies(dev: MakeApp) -> None:
    app = dev()
    log = capture_log()

    answer = profile(app, PAGE, "http://127.0.0.1:8000", "cross-site", Authorization="Bearer bad")

    assert message(answer) == "Invalid or expired token"
    assert "WARNING" not in log.getvalue()


def test_a_client_that_is_no_browser_and_a_token_get_no_finding(dev: MakeApp) -> None:
    app = dev(PUBLIC_URL="https://api.example.com")
    register(app, "Anna")

    assert message(profile(app, None)) == "Authentication required"
    assert profile(app, "https://evil.example", API, "cross-site", **bearer_headers("Anna")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [("OPTIONS", "/user/login", PREFLIGHT), ("GET", "/api/v1/dogs", {}), ("POST", "/user/login", {})],
)
def test_what_a_browser_hides_from_the_page_is_a_warning_in_the_log(
    dev: MakeApp, method: str, path: str, headers: dict[str, str]
) -> None:
    anna = register(dev(), "Anna")
    cookie = anna.get_cookie("session")
    log = capture_log()

    ask(anna, method, path, "http://localhost:4000", API, "same-site", headers=headers)

    (warning,) = [line for line in log.getvalue().splitlines() if " WARNING " in line]
    wanted = f"Set CORS_ORIGINS={DEFAULT},http://localhost:4000 if it is your page"
    assert f"http://localhost:4000 is not in CORS_ORIGINS ({PAGE} is). {wanted}" in warning
    assert cookie
    assert cookie.value not in log.getvalue()


def test_a_401_by_a_lost_cookie_is_a_warning_in_the_log(dev: MakeApp) -> None:
    app = dev()
    log = capture_log()

    profile(app, PAGE, "http://127.0.0.1:8000", "cross-site")

    (warning,) = [line for line in log.getvalue().splitlines() if " WARNING " in line]
    assert f"Call {API} instead of http://127.0.0.1:8000" in warning


@pytest.mark.parametrize("page", ["http://[::1", "http://a:99999", "https://" + "a" * 5000, "http://Ã¼.test", "://"])
@pytest.mark.parametrize("host", ["a b", "a:99999", "[::1", "x" * 5000, "", "..", "localhost:8000"])
def test_nothing_that_a_client_says_makes_the_doctor_stumble(
    dev: MakeApp, make_app: MakeApp, page: str, host: str
) -> None:
    headers = {"Origin": page, "Host": host, "Sec-Fetch-Site": "anything"}

    statuses = [
        (
            client.post("/user/logout", headers=headers).status_code,
            client.get("/user/profile", headers=headers).status_code,
        )
        for client in (make_app().test_client(), dev().test_client())
    ]

    assert statuses[0] == statuses[1]
    assert statuses[0][0] == 403
    assert statuses[0][1] in (400, 401)


def test_outside_dev_mode_a_refusal_tells_nothing_of_the_settings(make_app: MakeApp) -> None:
    app = make_app(PUBLIC_URL="https://api.example.com")
    log = capture_log()

    refused = write(app, "http://localhost:4000", API, "same-site")
    hidden = ask(app.test_client(), "OPTIONS", "/user/login", "http://localhost:4000", API, headers=PREFLIGHT)
    lost = profile(app, PAGE, "http://127.0.0.1:8000", "cross-site")

    generic = "Cross-origin request refused. Add the origin to CORS_ORIGINS to allow it"
    assert message(refused) == generic
    assert hidden.status_code == 200
    assert message(lost) == "Authentication required"
    assert "WARNING" not in log.getvalue()


# The real dev server and a real browser


class BlankPage(BaseHTTPRequestHandler):
    """An empty page, on any path."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler], certificate: Path | None = None) -> Iterator[int]:
    """Serves with this handler, over TLS where there is a certificate; gives the port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            running.socket = context.wrap_socket(running.socket, server_side=True)
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield running.server_port
        finally:
            running.shutdown()
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


def test_a_browser_that_follows_the_advice_is_logged_in(tmp_path: Path, page: Page) -> None:
    with serving(BlankPage) as port:
        kennel = Server(tmp_path / "dev", CORS_ORIGINS=f"http://localhost:{port}")
        localhost = f"http://localhost:{kennel.port}"
        try:
            kennel.start("--dev")
            # The page's name is not the one that it calls: the cookie stays away.
            page.goto(f"http://localhost:{port}")
            assert page.evaluate(REGISTER, kennel.url) == 201
            code, text = page.evaluate(READ, kennel.url)
            assert code == 401
            assert text.endswith(f"Call {localhost} instead of {kennel.url}")
            # The page has another name than the listed one: the browser hides the answer, so the log says it.
            page.goto(f"http://127.0.0.1:{port}")
            with pytest.raises(Exception, match="Failed to fetch"):
                page.evaluate(READ, localhost)
            advice = f"Open the page at http://localhost:{port} instead of http://127.0.0.1:{port}"
            assert advice in kennel.output()
            # As both say.
            page.goto(f"http://localhost:{port}")
            body = REGISTER.replace("Anna", "Bob").replace("anna@", "bob@")
            assert page.evaluate(body, localhost) == 201
            assert page.evaluate(READ, localhost) == [200, "Success"]
        finally:
            kennel.kill()


# The command


@pytest.fixture(scope="module")
def kennel(system: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The real server with the default settings."""
    with Server(tmp_path_factory.mktemp("doctor") / "server") as running:
        yield running


@pytest.fixture(scope="session")
def certificate(system: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of localhost that nobody has signed but itself, with its key."""
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    options = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    subprocess.run(["openssl", *options.split(), "-keyout", path, "-out", path], check=True, capture_output=True)
    return path


@pytest.fixture
def doctor(make_app: MakeApp) -> Callable[..., Result]:
    """Runs the command beside a server, with its settings."""

    def run(server: Server, page: str, url: str | None = None, **settings: str) -> Result:
        names = ("PORT", "PUBLIC_URL", "CORS_ORIGINS", "SESSION_COOKIE_SAMESITE", "TRUSTED_PROXIES")
        config = {name: server.settings[name] for name in names if name in server.settings}
        app = make_app(**{**config, **settings})
        return app.test_cli_runner().invoke(args=["doctor", "--origin", page, *(["--url", url] if url else [])])

    return run


def findings(result: Result) -> str:
    """What the command finds, once its checks and its end say that there is something."""
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit)
    assert "FAIL: " in result.output
    return "\n".join(line for line in result.output.splitlines()[1:] if not line.startswith(("PASS: ", "FAIL: ")))


def front_of(server: Server, **change: Any) -> type[BaseHTTPRequestHandler]:
    """What stands in front of a server and hands requests on, after what it changes.

    `add` are headers that it adds to answers, `refuse` methods that it answers itself, `to` where it redirects to.
    """

    class Front(BlankPage):
        def hand_on(self) -> None:
            if "to" in change or self.command in change.get("refuse", ()):
                self.send_response(301 if "to" in change else 405)
                self.send_header("Location", f"{change.get('to')}{self.path}")
                self.end_headers()
                return
            connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
            connection.request(self.command, self.path, headers={**self.headers, "X-Forwarded-Proto": "https"})
            answer = connection.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            for name, value in [*answer.getheaders(), *change.get("add", {}).items()]:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)
            connection.close()

        do_GET = do_POST = do_OPTIONS = hand_on  # noqa: N815 - names of the standard library

    return Front


def checks(*problems: int, cookie: str = "SameSite=Lax") -> list[str]:
    """The lines of the checks; those of these numbers have a problem."""
    names = [
        "Login preflight (OPTIONS /user/login)",
        "Read (GET /api/v1/dogs)",
        "Write (POST /user/logout)",
        f"Session cookie ({cookie})",
    ]
    return [f"{'FAIL' if number in problems else 'PASS'}: {name}" for number, name in enumerate(names)]


def test_the_command_finds_nothing_where_all_is_well(kennel: Server, doctor: Callable[..., Result]) -> None:
    result = doctor(kennel, PAGE)

    assert result.output.splitlines() == [f"A page at {PAGE} calls http://localhost:{kennel.port}:", *checks()]
    assert result.exit_code == 0


def test_the_command_asks_the_servers_own_page_for_no_preflight(kennel: Server, doctor: Callable[..., Result]) -> None:
    result = doctor(kennel, f"http://localhost:{kennel.port}")

    assert result.output.splitlines()[1:] == checks()[1:]
    assert result.exit_code == 0


def test_the_command_names_the_list_to_set_for_an_origin_that_is_not_listed(
    kennel: Server, doctor: Callable[..., Result], tmp_path: Path
) -> None:
    page = "http://localhost:4000"

    result = doctor(kennel, page)

    wanted = f"{DEFAULT},{page}"
    assert (
        findings(result) == f"{page} is not in CORS_ORIGINS ({PAGE} is). Set CORS_ORIGINS={wanted} if it is your page"
    )
    assert result.output.splitlines()[1:5] == checks(0, 1, 2)
    with Server(tmp_path / "mended", **settings_in(findings(result))) as mended:
        assert doctor(mended, page).exit_code == 0


def test_the_command_knows_that_the_server_has_older_settings(kennel: Server, doctor: Callable[..., Result]) -> None:
    page = "http://localhost:4000"

    result = doctor(kennel, page, CORS_ORIGINS=f"{DEFAULT},{page}")

    assert findings(result) == (
        f"CORS_ORIGINS has {page}, but the server does not allow it. Restart the server with this setting"
    )


def test_the_command_believes_the_server_that_lets_a_page_in(kennel: Server, doctor: Callable[..., Result]) -> None:
    assert doctor(kennel, PAGE, CORS_ORIGINS="https://www.example.com").exit_code == 0


def test_the_command_tells_a_file_where_to_be_served(kennel: Server, doctor: Callable[..., Result]) -> None:
    assert findings(doctor(kennel, "null")).endswith(f"Serve the page from {PAGE}")


def test_the_command_tells_localhost_from_127_0_0_1(kennel: Server, doctor: Callable[..., Result]) -> None:
    localhost, number = f"http://localhost:{kennel.port}", f"http://127.0.0.1:{kennel.port}"

    called = doctor(kennel, PAGE, number)
    opened = doctor(kennel, "http://127.0.0.1:3000")

    assert findings(called).endswith(f"Call {localhost} instead of {number}")
    assert called.output.splitlines()[1:5] == checks(3)
    assert findings(opened).endswith(f"Open the page at {PAGE} instead of http://127.0.0.1:3000")
    assert doctor(kennel, PAGE, localhost).exit_code == 0


def test_the_command_names_the_settings_for_a_cookie_that_is_to_cross_sites(
    doctor: Callable[..., Result], tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    page = "https://app.example.com"
    server = Server(tmp_path / "server", CORS_ORIGINS=page)
    with serving(front_of(server), certificate) as port:
        url = f"https://localhost:{port}"
        with server:
            result = doctor(server, page, url)
            advice = findings(result).partition("; or ")[2]
            assert settings_in(advice) == {"SESSION_COOKIE_SAMESITE": "None", "PUBLIC_URL": url}
            assert result.output.splitlines()[1:5] == checks(3)
        server.settings |= settings_in(advice)
        with server:
            result = doctor(server, page)
            assert result.output.splitlines()[1:] == checks(cookie="SameSite=None, Secure")
            assert result.exit_code == 0


@pytest.mark.system
def test_the_command_sees_a_secure_cookie_over_http_in_what_the_server_answers(
    doctor: Callable[..., Result], tmp_path: Path
) -> None:
    with Server(tmp_path / "server", PUBLIC_URL="https://api.example.com") as server:
        url = f"http://localhost:{server.port}"

        # Whatever the settings are here: the server's own count.
        result = doctor(server, PAGE, url, PUBLIC_URL=url)

        assert "FAIL: Session cookie (SameSite=Lax, Secure)" in result.output
        assert findings(result).startswith("PUBLIC_URL is https, so the cookie is Secure")
        settings = settings_in(findings(result).partition("; or ")[2].partition(";")[0])
        assert settings == {"PUBLIC_URL": url}
    server.settings |= settings
    with server:
        assert doctor(server, PAGE).exit_code == 0


def test_the_command_names_the_settings_for_the_servers_own_page_behind_tls(
    doctor: Callable[..., Result], tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    server = Server(tmp_path / "server")
    with serving(front_of(server), certificate) as port:
        url = f"https://localhost:{port}"
        with server:
            settings = settings_in(findings(doctor(server, url, url)))
            assert settings == {"PUBLIC_URL": url, "TRUSTED_PROXIES": "1"}
        server.settings |= settings
        with server:
            assert doctor(server, url).exit_code == 0


def test_the_command_names_a_certificate_that_browsers_do_not_trust(
    kennel: Server, doctor: Callable[..., Result], certificate: Path
) -> None:
    with serving(front_of(kennel), certificate) as port:
        result = doctor(kennel, PAGE, f"https://localhost:{port}")

    assert findings(result).startswith(f"Browsers do not trust the certificate of https://localhost:{port} (self")


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
def test_the_command_sees_what_stands_in_front_of_the_server(
    kennel: Server, doctor: Callable[..., Result], change: dict[str, Any], cause: str
) -> None:
    with serving(front_of(kennel, **change)) as port:
        result = doctor(kennel, PAGE, f"http://localhost:{port}")

    assert cause in findings(result)
    assert len(findings(result).splitlines()) == 1


@pytest.mark.system
def test_the_command_says_when_the_server_itself_has_a_problem(doctor: Callable[..., Result], tmp_path: Path) -> None:
    with Server(tmp_path / "server") as server:
        (tmp_path / "server" / "dogs.sqlite").write_bytes(b"no database")

        result = doctor(server, PAGE)

    assert re.search(r"^Kennel responds with 5..\. Check its log$", findings(result))


def test_the_command_says_when_nobody_or_somebody_else_answers(doctor: Callable[..., Result], kennel: Server) -> None:
    nobody = f"http://localhost:{free_port()}"
    with serving(BlankPage) as port:
        url = f"http://localhost:{port}"
        assert f"{url} is not a Kennel server" in findings(doctor(kennel, PAGE, url))
        url = f"https://localhost:{port}"
        assert f"Cannot connect to {url}" in findings(doctor(kennel, PAGE, url))
    for url in (nobody, "http://kennel.invalid", "http://a..b"):
        assert re.fullmatch(
            rf"Cannot connect to {re.escape(url)} \(.+\)\. Start the server, .*", findings(doctor(kennel, PAGE, url))
        )


@pytest.mark.parametrize("option", ["--origin", "--url"])
@pytest.mark.parametrize(
    "value", ["localhost:3000", "http://localhost:3000/dogs", "ftp://a.test", "http://[::1", "*", ""]
)
def test_what_is_no_origin_is_told_in_one_line(app: Flask, option: str, value: str) -> None:
    options = {"--origin": PAGE, option: value}

    result = app.test_cli_runner().invoke(args=["doctor", *(word for pair in options.items() for word in pair)])

    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert re.fullmatch(rf"Error: {option}: .+\. For example: http://localhost:3000\n", result.output)


def test_the_command_is_one_of_the_flask_program_and_needs_no_database(kennel: Server, tmp_path: Path) -> None:
    environment = {**os.environ, **kennel.settings, "DATABASE_URL": f"sqlite:///{tmp_path / 'nowhere' / 'dogs.sqlite'}"}

    def flask(*arguments: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "flask", "--app", "run", "doctor", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.stderr == ""
        return done.returncode, done.stdout

    assert flask("--origin", PAGE) == (
        0,
        "\n".join([f"A page at {PAGE} calls http://localhost:{kennel.port}:", *checks(), ""]),
    )
    assert flask("--origin", "http://localhost:4000")[0] == 1
