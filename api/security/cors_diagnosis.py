"""Diagnosis of CORS and cookie problems: why a cross-origin request fails, and which setting to change.

`flask doctor` shows it for a running deployment; in dev mode, the error responses contain it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, current_app, request
from publicsuffixlist import PublicSuffixList

from ..config_parsers import origin
from ..http.errors import ApiError, CrossOriginForbidden, Unauthorized, handle_exception
from .authentication import bearer_token
from .origins import trusted_origins

log = logging.getLogger("kennel")


def diagnose(
    page: str,
    url: str,
    config: Mapping[str, Any],
    *,
    allowed: bool,
    cookie_came: bool = False,
    fetch_site: str | None = None,
) -> list[str]:
    """Return what keeps a page from using this server with a cookie: each cause, and what to change.

    `page` is the page's Origin header, `url` the origin that it calls, `allowed` whether the server allows the page,
    and `fetch_site` the Sec-Fetch-Site header, in which the browser reports whether both are of the same site.
    """
    listed, same_site = config["CORS_ORIGINS"], config["SESSION_COOKIE_SAMESITE"]
    try:
        page = origin(page)
    except ValueError:  # usually `null`, an opaque origin (HTML, section 7.1.1)
        home = next(iter(listed), "http://localhost:3000")
        return [f"A file, a sandboxed frame or an extension has no origin to list. Serve the page from {home}"]
    findings = []
    over_http = config["IS_HTTPS"] and url.startswith("http:") and not (allowed and cookie_came)
    if over_http:
        findings.append(secure_over_http(url, same_site))
    is_cross_site = fetch_site == "cross-site" if fetch_site else site_of(page) != site_of(url)
    if is_cross_site and not cookie_came and same_site != "None":
        here, there = rebase_origin("", page), rebase_origin("", url)
        cause = f"To a browser, {here} and {there} are two sites, and a SameSite={same_site} cookie stays within one"
        change, better = same_site_advice(page, url, allowed, config)
        findings.append(f"{cause}. {change}")
        if better != page:
            page, allowed = better, better in {url, *listed}
    if not allowed and page != url:
        findings.append(not_listed(page, listed))
    elif not allowed and not over_http:
        proxies = f" and TRUSTED_PROXIES={config['TRUSTED_PROXIES'] or 1}" if url.startswith("https:") else ""
        findings.append(f"The server does not know that browsers call it {url}. Set PUBLIC_URL={url}{proxies}")
    return findings


def secure_over_http(url: str, same_site: str) -> str:
    """Return the finding for a Secure cookie over plain http (RFC 6265bis, section 5.7)."""
    reject = "Safari rejects" if is_local(url) else "browsers reject"
    lax = " and SESSION_COOKIE_SAMESITE=Lax" if same_site == "None" else ""
    return (
        f"PUBLIC_URL is https, so the cookie is Secure, and {reject} such a cookie from {url}. "
        f"Call the https URL; or set PUBLIC_URL={url}{lax} if there is no TLS; "
        f"or set TRUSTED_PROXIES=1 if a reverse proxy terminates TLS and sends X-Forwarded-Proto"
    )


def same_site_advice(page: str, url: str, allowed: bool, config: Mapping[str, Any]) -> tuple[str, str]:
    """Return what to change for a cross-site cookie (RFC 6265bis, section 5.2), and the page's origin after that."""
    if is_local(page) and is_local(url):
        call, better = rebase_origin(url, page), rebase_origin(page, url)
        if not allowed or urlsplit(page).scheme != urlsplit(url).scheme:
            return f"Open the page at {better} instead of {page}", better
        public = f" and set PUBLIC_URL={call}" if url == config["PUBLIC_URL"] else ""
        return f"Call {call} instead of {url}{public}", page
    secured = url if url.startswith("https:") else f"https://{host_of(url)}"
    if not config["IS_HTTPS"] and site_of(page) == site_of(secured):
        return f"Set PUBLIC_URL={secured} and serve the API over https", page
    settings = "SESSION_COOKIE_SAMESITE=None" + ("" if config["IS_HTTPS"] else f" and PUBLIC_URL={secured}")
    return (
        f"Serve both from one domain, such as https://www.example.com and https://api.example.com; or set {settings}, "
        f"which requires https and a browser that accepts third-party cookies (Safari does not)"
    ), page


def not_listed(page: str, listed: Sequence[str]) -> str:
    """Return the finding for an origin that the server does not allow, with the list to set."""
    if page in listed:
        return f"CORS_ORIGINS has {page}, but the server does not allow it. Restart the server with this setting"
    near = "".join(f" ({known} is)" for known in get_close_matches(page, listed, 1, 0.5))
    return f"{page} is not in CORS_ORIGINS{near}. Set CORS_ORIGINS={','.join([*listed, page])} if it is your page"


def rebase_origin(address: str, to: str) -> str:
    """Return an origin with the scheme and host of another, and its own port."""
    port = urlsplit(address).port
    return f"{urlsplit(to).scheme}://{host_of(to)}" + (f":{port}" if port else "")


def host_of(address: str) -> str:
    """Return the host of an origin, as it is written in a URL."""
    parts = urlsplit(address)
    return parts.netloc.removesuffix(f":{parts.port}")


def parse_ip(host: str) -> IPv4Address | IPv6Address | None:
    """Return the IP address of a host, or None for a name."""
    try:
        return ip_address(host.strip("[]"))
    except ValueError:
        return None


def is_local(address: str) -> bool:
    """Return whether this origin is on the browser's own machine."""
    host = host_of(address)
    ip = parse_ip(host)
    return ip.is_loopback or ip.is_unspecified if ip else f".{host}".endswith(".localhost")


def site_of(address: str) -> tuple[str, str]:
    """Return the site of an origin: scheme and registrable domain, or else host (HTML, section 7.1.1)."""
    host = host_of(address)
    domain = None if parse_ip(host) else suffixes().privatesuffix(host)
    return urlsplit(address).scheme, domain or host


@cache
def suffixes() -> PublicSuffixList:
    """Return the public suffixes, such as `com`, `co.uk` and `github.io`. The list is read at the first call."""
    return PublicSuffixList()


def enable_refusal_hints(app: Flask) -> None:
    """Add the findings to the messages of 401 and 403 responses, and log them. For dev mode only.

    They are logged since a browser hides the response from a page of an origin that is not allowed.
    """
    app.register_error_handler(CrossOriginForbidden, handle_refusal)
    app.register_error_handler(Unauthorized, handle_refusal)
    app.after_request(log_findings)


def handle_refusal(error: ApiError) -> Response:
    """Return the error response, with the findings in its message."""
    findings = request_findings()
    if findings and isinstance(error, CrossOriginForbidden):
        error = CrossOriginForbidden(". ".join(findings))
    elif findings and str(error) == str(Unauthorized()):  # but not for a wrong password, which no cookie cures
        error = Unauthorized(". ".join([str(error), *findings]))
    return handle_exception(error)


def log_findings(response: Response) -> Response:
    """Log the findings for a page that is not logged in, or may not read the response."""
    if response.status_code == 401 or request.headers.get("Origin") not in trusted_origins():
        findings = request_findings()
        if findings:
            log.warning(". ".join(findings))
    return response


def request_findings() -> list[str]:
    """Return the findings for the page that sent this request; none without an Origin, or with a bearer token."""
    page = request.headers.get("Origin")
    if not page or bearer_token() is not None:
        return []
    return diagnose(
        page,
        requested_origin(),
        current_app.config,
        allowed=page in trusted_origins(),
        cookie_came=current_app.config["SESSION_COOKIE_NAME"] in request.cookies,
        fetch_site=request.headers.get("Sec-Fetch-Site"),
    )


def requested_origin() -> str:
    """Return the origin of this request's URL in the browser, also behind a proxy that is not configured as trusted.

    Browsers send Sec-Fetch-Site only over https and to their own machine (W3C, Fetch Metadata Request Headers).
    """
    forwarded = request.headers.get("X-Forwarded-Proto", "").partition(",")[0].strip()
    try:
        url = origin(f"http://{request.host}")
        has_metadata = "Sec-Fetch-Site" in request.headers and not is_local(url)
        is_https = request.is_secure or forwarded == "https" or has_metadata
        return origin(f"https://{request.host}") if is_https else url
    except ValueError:
        return current_app.config["PUBLIC_URL"]
