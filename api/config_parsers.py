"""Parsers of settings: from text to a value, or a `ValueError` that says in one line what is required."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlsplit


def integer(low: int, high: int) -> Callable[[str], int]:
    """Return a parser of integers within these bounds."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise ValueError(f"must be an integer from {low} to {high}")
        return int(text)

    return parse


def one_of(*choices: str) -> Callable[[str], str]:
    """Return a parser of these words, in any case."""

    def parse(text: str) -> str:
        for choice in choices:
            if text.lower() == choice.lower():
                return choice
        raise ValueError(f"must be {' or '.join(choices)}")

    return parse


def boolean(text: str) -> bool:
    """Parse `true` or `false`."""
    return one_of("true", "false")(text) == "true"


def host(text: str) -> str:
    """Parse a host name or IP address to listen on."""
    if not re.fullmatch(r"[A-Za-z0-9.:_-]{1,253}", text):
        raise ValueError("must be a host name or an IP address, without a scheme or a port")
    return text


def cookie_name(text: str) -> str:
    """Parse the name of a cookie (RFC 6265, section 4.1.1), without a prefix that browsers treat specially."""
    if not re.fullmatch(r"[A-Za-z0-9.-][A-Za-z0-9._-]{0,63}", text):
        raise ValueError("must be 1 to 64 letters, digits and the characters . _ -, and not begin with _")
    return text


def origin(text: str) -> str:
    """Parse an origin (scheme, host and port of a URL), and serialize it as browsers do (RFC 6454, section 6.2)."""
    text = text.removesuffix("/")
    parts = urlsplit(text)
    try:
        is_valid_port = parts.port is None or parts.port > 0
    except ValueError:
        is_valid_port = False
    if (
        not is_valid_port
        or parts.scheme not in ("http", "https")
        or not re.fullmatch(r"https?://(\[[0-9a-f:]+\]|[a-z0-9._-]+)(:[0-9]+)?", text.lower())
    ):
        raise ValueError("must be http:// or https://, a host and an optional port, without a path")
    default_port = ":443" if parts.scheme == "https" else ":80"
    return text.lower().removesuffix(default_port)


def origins(text: str) -> tuple[str, ...]:
    """Parse a comma-separated list of origins. `*` is refused, since credentials are allowed."""
    if "*" in text:
        raise ValueError("* would allow every website to act as your users; list each origin")
    return tuple(origin(item.strip()) for item in text.split(",") if item.strip())


def check_credentials(url: str) -> None:
    """Raise `ValueError` for a user or a password that must be percent-encoded (RFC 3986, section 3.2.1).

    Parsers of URLs would take its rest for the host, and quote it in their errors.
    """
    credentials, separator, _ = url.partition("://")[2].rpartition("@")
    if separator and re.search(r"[#/?@\[\]\s]", credentials):
        raise ValueError("the password must be percent-encoded: write %23 for #, %2F for /, %3F for ?, %40 for @")


def secret(text: str) -> str:
    """Parse a secret key. Raises `ValueError` for one that is short or repetitive."""
    if len(text) < 32 or len(set(text)) < 8:
        raise ValueError("must be a random string of at least 32 characters")
    return text


def rate_limit_storage_url(text: str) -> str:
    """Parse the URL of the storage of the rate limits."""
    check_credentials(text)
    try:
        parts = urlsplit(text)
        is_redis = parts.scheme in ("redis", "rediss") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_redis = False
    if not is_redis and text != "database://":
        raise ValueError("must be database:// or a redis:// URL")
    return text
