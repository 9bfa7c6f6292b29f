"""Conditional writes (RFC 9110, section 13.1.1): change it only if it is still what I have seen."""

from __future__ import annotations

from flask import request

from models import Dog, VersionConflict


def if_match_version(dog: Dog) -> int | None:
    """The version that a write must find, or None where the client did not ask. Raises `VersionConflict`."""
    if request.headers.get("If-Match", "*").strip() == "*":
        return None
    if not request.if_match.is_strong(dog.etag):
        raise VersionConflict("This dog has been changed since you read it")
    return dog.version
