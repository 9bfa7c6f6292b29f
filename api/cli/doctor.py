"""`flask --app run doctor`: call a running deployment as a browser does for a page, and diagnose CORS and cookies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPMessage, HTTPSConnection
from ssl import SSLCertVerificationError
from typing import Any
from urllib.parse import urljoin, urlsplit

import click
from flask import current_app
from flask.cli import with_appcontext

from ..config_parsers import origin
from ..security.cors_diagnosis import diagnose

ALLOW_ORIGIN = "Access-Control-Allow-Origin"
# What a deployment is asked: the preflight of a login, a read, and a write that changes nothing.
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
PROBES: tuple[tuple[str, str, str, Mapping[str, str]], ...] = (
    ("The preflight of a login", "OPTIONS", "/user/login", PREFLIGHT),
    ("A read", "GET", "/api/v1/dogs", {}),
    ("A write", "POST", "/user/logout", {}),
)
# How long it may take for each answer, in seconds.
TIMEOUT = 10


def probe_deployment(page: str, url: str, config: Mapping[str, Any]) -> tuple[dict[str, bool], list[str]]:
    """Call the deployment at `url` as a browser does for `page`: each check with whether it is well, and the findings.

    Its answers say whether it lets the page in and whether its cookie is Secure; the rest is taken from `config`.
    """
    checks: dict[str, bool] = {}
    found, allowed = [], True
    for name, method, path, asked in PROBES[page == url :]:  # no preflight within an origin
        check = f"{name} ({method} {path})"
        try:
            status, headers, body = http_request(url, method, path, {"Origin": page, **asked})
        except (OSError, HTTPException, UnicodeError) as error:
            return {**checks, check: False}, [unreachable(url, error)]
        obstacle = detect_proxy_interference(page, url, method, status, headers, body)
        lets_in = status != 403 and (page == url or ALLOW_ORIGIN in headers)
        checks[check] = lets_in and not obstacle
        if obstacle:
            found.append(obstacle)
        else:
            allowed = allowed and lets_in
            config = {**config, "IS_HTTPS": "Strict-Transport-Security" in headers}
    secure = ", Secure" if config["IS_HTTPS"] else ""
    cookie = f"The cookie (SameSite={config['SESSION_COOKIE_SAMESITE']}{secure})"
    checks[cookie] = not diagnose(page, url, config, allowed=True)
    return checks, [*dict.fromkeys(found), *diagnose(page, url, config, allowed=allowed)]


def http_request(url: str, method: str, path: str, headers: Mapping[str, str]) -> tuple[int, HTTPMessage, bytes]:
    """Status, headers and body of an answer; redirects are not followed. Raises when none comes."""
    parts = urlsplit(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    with closing(kind(parts.hostname or "", parts.port, timeout=TIMEOUT)) as connection:
        connection.request(method, path, headers={"User-Agent": "Kennel doctor", **headers})
        response = connection.getresponse()
        return response.status, response.headers, response.read(1_000_000)


def unreachable(url: str, error: Exception) -> str:
    """The finding where no answer comes."""
    if isinstance(error, SSLCertVerificationError):
        return f"Browsers do not trust the certificate of {url} ({error.verify_message}). Get one that they trust"
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"{url} does not answer ({reason}). Start the server, or name its address by --url or PUBLIC_URL"


def detect_proxy_interference(page: str, url: str, method: str, status: int, headers: HTTPMessage, body: bytes) -> str:
    """The finding where something else than Kennel has answered or changed the answer, else an empty text."""
    if 300 <= status < 400:
        target = urlsplit(urljoin(url, headers.get("Location", "")))
        return (
            f"{url} redirects to {target.scheme}://{target.netloc}, and browsers follow no redirect of a preflight. "
            f"Call that address, and set PUBLIC_URL to it"
        )
    if method == "OPTIONS" and not 200 <= status < 300:
        return f"Something in front of Kennel answers OPTIONS by {status}. Let it pass preflights on"
    if method != "OPTIONS" and not is_envelope(status, body):
        return f"Something else than Kennel answers at {url}. Name its address by --url or PUBLIC_URL"
    if method != "OPTIONS" and status not in (200, 403):
        return f"Kennel answers by {status}. Look at its log"
    names = (ALLOW_ORIGIN, "Access-Control-Allow-Credentials")
    if page != url and ALLOW_ORIGIN in headers and [headers.get_all(name) for name in names] != [[page], ["true"]]:
        return "Something in front of Kennel adds Access-Control headers of its own. Let Kennel alone send them"
    return ""


def is_envelope(status: int, body: bytes) -> bool:
    """Whether this is how Kennel answers."""
    try:
        return json.loads(body)["status"]["code"] == status
    except (ValueError, LookupError, TypeError):
        return False


def parse_origin(_: click.Context, option: click.Parameter, text: str | None) -> str | None:
    """Check an origin as the settings are checked. That of a page may be `null`, as browsers send for a file."""
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
