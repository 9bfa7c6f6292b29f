"""`flask --app run doctor`: call a running deployment as a browser does for a page, and diagnose CORS and cookies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPMessage, HTTPSConnection
from ssl import SSLCertVerificationError
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

import click
from flask import current_app
from flask.cli import with_appcontext

from ..config_parsers import origin
from ..security.cors_diagnosis import diagnose

ALLOW_ORIGIN = "Access-Control-Allow-Origin"
ALLOW_CREDENTIALS = "Access-Control-Allow-Credentials"
# The requests that are sent: the preflight of a login, a read, and a write that changes nothing.
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
PROBES: tuple[tuple[str, str, str, Mapping[str, str]], ...] = (
    ("Login preflight", "OPTIONS", "/user/login", PREFLIGHT),
    ("Read", "GET", "/api/v1/dogs", {}),
    ("Write", "POST", "/user/logout", {}),
)
TIMEOUT_SECONDS = 10
MAX_RESPONSE_BYTES = 1_000_000


class Reply(NamedTuple):
    """An HTTP response."""

    status: int
    headers: HTTPMessage
    body: bytes


def probe_deployment(page: str, url: str, config: Mapping[str, Any]) -> tuple[dict[str, bool], list[str]]:
    """Call the deployment at `url` as a browser does for `page`. Return which checks passed, and the findings.

    The responses show whether the page is allowed and the cookie is Secure; everything else is taken from `config`.
    """
    checks: dict[str, bool] = {}
    interference, is_allowed = [], True
    for name, method, path, headers in PROBES[page == url :]:  # same-origin requests have no preflight
        check = f"{name} ({method} {path})"
        try:
            reply = http_request(url, method, path, {"Origin": page, **headers})
        except (OSError, HTTPException, UnicodeError) as error:
            return {**checks, check: False}, [connection_finding(url, error)]
        finding = detect_proxy_interference(page, url, method, reply)
        lets_in = reply.status != 403 and (page == url or ALLOW_ORIGIN in reply.headers)
        checks[check] = lets_in and not finding
        if finding:
            interference.append(finding)
        else:
            is_allowed = is_allowed and lets_in
            config = {**config, "IS_HTTPS": "Strict-Transport-Security" in reply.headers}
    secure = ", Secure" if config["IS_HTTPS"] else ""
    cookie = f"Session cookie (SameSite={config['SESSION_COOKIE_SAMESITE']}{secure})"
    checks[cookie] = not diagnose(page, url, config, allowed=True)
    return checks, [*dict.fromkeys(interference), *diagnose(page, url, config, allowed=is_allowed)]


def http_request(url: str, method: str, path: str, headers: Mapping[str, str]) -> Reply:
    """Send a request without following redirects. Raises `OSError`, `HTTPException` or `UnicodeError`."""
    parts = urlsplit(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    with closing(kind(parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS)) as connection:
        connection.request(method, path, headers={"User-Agent": "Kennel doctor", **headers})
        response = connection.getresponse()
        return Reply(response.status, response.headers, response.read(MAX_RESPONSE_BYTES))


def connection_finding(url: str, error: Exception) -> str:
    """Return the finding for a request that got no response."""
    if isinstance(error, SSLCertVerificationError):
        return f"Browsers do not trust the certificate of {url} ({error.verify_message}). Install a trusted one"
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"Cannot connect to {url} ({reason}). Start the server, or set --url or PUBLIC_URL to its address"


def detect_proxy_interference(page: str, url: str, method: str, reply: Reply) -> str | None:
    """Return the finding if a response is not Kennel's own: a redirect, another server, or changed CORS headers."""
    if 300 <= reply.status < 400:
        target = urlsplit(urljoin(url, reply.headers.get("Location", "")))
        return (
            f"{url} redirects to {target.scheme}://{target.netloc}, but browsers do not follow redirects of preflights."
            f" Call that address, and set PUBLIC_URL to it"
        )
    if method == "OPTIONS" and not 200 <= reply.status < 300:
        return f"A proxy responds to OPTIONS with {reply.status}. Let it forward preflights to Kennel"
    if method != "OPTIONS" and not is_envelope(reply):
        return f"{url} is not a Kennel server. Set --url or PUBLIC_URL to its address"
    if method != "OPTIONS" and reply.status not in (200, 403):
        return f"Kennel responds with {reply.status}. Check its log"
    cors_headers = [reply.headers.get_all(name) for name in (ALLOW_ORIGIN, ALLOW_CREDENTIALS)]
    if page != url and ALLOW_ORIGIN in reply.headers and cors_headers != [[page], ["true"]]:
        return "A proxy adds Access-Control headers. Remove them from its configuration: Kennel sends its own"
    return None


def is_envelope(reply: Reply) -> bool:
    """Return whether the body is Kennel's response envelope."""
    try:
        return json.loads(reply.body)["status"]["code"] == reply.status
    except (ValueError, LookupError, TypeError):
        return False


def parse_origin(_: click.Context, option: click.Parameter, text: str | None) -> str | None:
    """Validate an origin, like `CORS_ORIGINS`. That of a page may be `null`, as browsers send for local files."""
    try:
        return text if text is None or (option.name == "page" and text == "null") else origin(text)
    except ValueError as error:
        raise click.ClickException(f"{option.opts[0]}: {error}. For example: http://localhost:3000") from None


@click.command("doctor")
@click.option(
    "--origin", "page", required=True, metavar="ORIGIN", callback=parse_origin,
    help="The origin of the page: scheme, host and port, such as http://localhost:3000.",
)  # fmt: skip
@click.option(
    "--url", metavar="ORIGIN", callback=parse_origin, help="The origin of the API. Default: PUBLIC_URL.",
)  # fmt: skip
@with_appcontext
def doctor(page: str, url: str | None) -> None:
    """Diagnose why a page can't use the running server. Exit with 1 if a check fails."""
    url = url or current_app.config["PUBLIC_URL"]
    checks, findings = probe_deployment(page, url, current_app.config)
    click.echo(f"A page at {page} calls {url}:")
    for check, passed in checks.items():
        click.echo(f"{'PASS' if passed else 'FAIL'}: {check}")
    for finding in findings:
        click.echo(finding)
    if findings:
        raise SystemExit(1)
