"""Conditional requests (RFC 9110, section 13): `If-Match` on writes, `If-None-Match` on reads."""

from __future__ import annotations

from typing import Protocol

from flask import request

from models import VersionConflict

from .request import current_request


class Versioned(Protocol):
    """A row with optimistic locking: `version` counts its changes, and `etag` is unique to each version."""

    version: int

    @property
    def etag(self) -> str:
        """The entity tag, without quotes."""


def if_match_version(row: Versioned) -> int | None:
    """Return the version that a write requires, None without `If-Match` or with `*`.

    Raises `VersionConflict` if it is stale, or if `If-None-Match` names what is there. Weak tags count, since proxies
    that compress responses make them of strong ones.
    """
    if_match, if_none_match = request.if_match, request.if_none_match
    is_stale = "If-Match" in request.headers and not if_match.contains_weak(row.etag)
    if is_stale or if_none_match.contains_weak(row.etag):
        raise VersionConflict(type(row))
    return row.version if if_match and not if_match.star_tag else None


def is_not_modified(etag: str | None) -> bool:
    """Return whether the client's copy is current, so that the response is 304 (RFC 9110, section 13.1.2)."""
    request = current_request()
    if etag is None or "HTTP_IF_NONE_MATCH" not in request.environ:
        return False
    return request.method in ("GET", "HEAD") and request.if_none_match.contains_weak(etag)
