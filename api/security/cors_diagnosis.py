"""Why a browser's call from another origin fails, and what to change. In dev mode, refusals say it themselves."""

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
    """What keeps a page from using this server with a cookie: the causes, each with what to change.

    `page` is its Origin header, `url` the origin that it calls, `allowed` whether the server lets that page in, and
    `fetch_site` the Sec-Fetch-Site header, by which the browser itself says whether the two are of one site.
    """
    listed, same_site = config["CORS_ORIGINS"], config["SESSION_COOKIE_SAMESITE"]
    try:
        page = origin(page)
    except ValueError:  # mostly `null`, as opaque origins are written (HTML, section 7.1.1)
        home = next(iter(listed), "http://localhost:3000")
        return [f"A file, a sandboxed frame or an extension has no origin to list. Serve the page from {home}"]
    found = []
    over_http = config["IS_HTTPS"] and url.startswith("http:") and not (allowed and cookie_came)
    if over_http:
        found.append(secure_over_http(url, same_site))
    crosses = fetch_site == "cross-site" if fetch_site else site_of(page) != site_of(url)
    if crosses and not cookie_came and same_site != "None":
        here, there = rebase_origin("", page), rebase_origin("", url)
        cause = f"To a browser, {here} and {there} are two sites, and a SameSite={same_site} cookie stays within one"
        change, better = same_site_advice(page, url, allowed, config)
        found.append(f"{cause}. {change}")
        if better != page:
            page, allowed = better, better in {url, *listed}
    if not allowed and page != url:
        found.append(not_listed(page, listed))
    elif not allowed and not over_http:
        proxies = f" and TRUSTED_PROXIES={config['TRUSTED_PROXIES'] or 1}" if url.startswith("https:") else ""
        found.append(f"The server does not know that browsers call it {url}. Set PUBLIC_URL={url}{proxies}")
    return found


def secure_over_http(url: str, same_site: str) -> str:
    """The finding where a Secure cookie would have to come over plain http (RFC 6265bis, section 5.7)."""
    keep = "Safari keeps" if is_local(url) else "browsers keep"
    lax = " and SESSION_COOKIE_SAMESITE=Lax" if same_site == "None" else ""
    return (
        f"PUBLIC_URL is https, so the cookie is Secure, and {keep} none of that kind from {url}. "
        f"Call the https address; or set PUBLIC_URL={url}{lax} where there is no TLS; "
        f"or set TRUSTED_PROXIES=1 where a proxy in front ends TLS and says so by X-Forwarded-Proto"
    )


def same_site_advice(page: str, url: str, allowed: bool, config: Mapping[str, Any]) -> tuple[str, str]:
    """What to change where a cookie had to cross sites (RFC 6265bis, section 5.2), and the origin of the page then."""
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
        f"which needs https and a browser that takes third-party cookies (Safari does not)"
    ), page


def not_listed(page: str, listed: Sequence[str]) -> str:
    """The finding where the server does not let this origin in, with the list to set."""
    if page in listed:
        return f"CORS_ORIGINS has {page}, but the server does not let it in. Start the server anew with this setting"
    near = "".join(f" ({known} is)" for known in get_close_matches(page, listed, 1, 0.5))
    return f"{page} is not in CORS_ORIGINS{near}. Set CORS_ORIGINS={','.join([*listed, page])} if it is your page"


def rebase_origin(address: str, to: str) -> str:
    """The port of one origin at the scheme and host of another."""
    port = urlsplit(address).port
    return f"{urlsplit(to).scheme}://{host_of(to)}" + (f":{port}" if port else "")


def host_of(address: str) -> str:
    """The host of an origin, as it is written in a URL."""
    parts = urlsplit(address)
    return parts.netloc.removesuffix(f":{parts.port}")


def parse_ip(host: str) -> IPv4Address | IPv6Address | None:
    """The IP address that a host is, or None for a name."""
    try:
        return ip_address(host.strip("[]"))
    except ValueError:
        return None


def is_local(address: str) -> bool:
    """Whether this origin is on the browser's own machine."""
    host = host_of(address)
    number = parse_ip(host)
    return number.is_loopback or number.is_unspecified if number else f".{host}".endswith(".localhost")


def site_of(address: str) -> tuple[str, str]:
    """The site of an origin: its scheme and registrable domain, or host where there is none (HTML, section 7.1.1)."""
    host = host_of(address)
    domain = None if parse_ip(host) else suffixes().privatesuffix(host)
    return urlsplit(address).scheme, domain or host


@cache
def suffixes() -> PublicSuffixList:
    """The public suffixes, such as `com`, `co.uk` and `github.io`; read at the first call."""
    return PublicSuffixList()


def enable_refusal_hints(app: Flask) -> None:
    """Let refusals say their cause and what to change, in their message and in the log. For dev mode alone.

    The log too, since a browser hides from a page what its origin may not read.
    """
    app.register_error_handler(CrossOriginForbidden, answer_with_findings)
    app.register_error_handler(Unauthorized, answer_with_findings)
    app.after_request(log_findings)


def answer_with_findings(error: ApiError) -> Response:
    """The response for a refusal, its message made more exact."""
    found = findings_of_request()
    if found and isinstance(error, CrossOriginForbidden):
        error = CrossOriginForbidden(". ".join(found))
    elif found and str(error) == str(Unauthorized()):  # no cookie would make a wrong password right
        error = Unauthorized(". ".join([str(error), *found]))
    return handle_exception(error)


def log_findings(response: Response) -> Response:
    """Log what a page fails by that may not read this answer, or is not logged in."""
    if response.status_code == 401 or request.headers.get("Origin") not in trusted_origins():
        found = findings_of_request()
        if found:
            log.warning(". ".join(found))
    return response


def findings_of_request() -> list[str]:
    """The findings for the page that sends this request; none where no page does, or it has a bearer token."""
    page = request.headers.get("Origin")
    if not page or bearer_token() is not None:
        return []
    return diagnose(
        page,
        url_called(),
        current_app.config,
        allowed=page in trusted_origins(),
        cookie_came=current_app.config["SESSION_COOKIE_NAME"] in request.cookies,
        fetch_site=request.headers.get("Sec-Fetch-Site"),
    )


def url_called() -> str:
    """The origin of this request's URL, as its browser saw it, also where a proxy ends TLS that we are not told of.

    Browsers send Sec-Fetch-Site over https alone, and to their own machine (W3C, Fetch Metadata Request Headers).
    """
    forwarded = request.headers.get("X-Forwarded-Proto", "").partition(",")[0].strip()
    try:
        plain = origin(f"http://{request.host}")
        fetched = "Sec-Fetch-Site" in request.headers and not is_local(plain)
        return origin(f"https://{request.host}") if request.is_secure or forwarded == "https" or fetched else plain
    except ValueError:
        return current_app.config["PUBLIC_URL"]
