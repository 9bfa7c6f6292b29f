"""Conditional requests (RFC 9110, section 13): `If-Match` on writes, `If-None-Match` on reads."""

from __future__ import annotations

from typing import Any

from flask import request

from models import VersionConflict

from .request import current_request


def if_match_version(row: Any) -> int | None:
    """Return the version that a write must find, None without `If-Match`. Raises `VersionConflict` if it is stale.

    The row has a `version` and an `etag`.
    """
    if request.headers.get("If-Match", "*").strip() == "*":
        return None
    if not request.if_match.is_strong(row.etag):
        raise VersionConflict(type(row))
    version: int = row.version
    return version


def is_not_modified(etag: str | None) -> bool:
    """Return whether the client's copy is current, so that the answer is 304 (RFC 9110, section 13.1.2)."""
    request = current_request()
    if etag is None or "HTTP_IF_NONE_MATCH" not in request.environ:
        return False
    return request.method in ("GET", "HEAD") and request.if_none_match.contains_weak(etag)
