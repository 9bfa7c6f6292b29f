"""Picture files, error pages, the OpenAPI document and health checks."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from typing import Any, TypeVar

from flask import current_app, render_template, request

from models import NotFound
from schemas import HealthSchema, ReadinessSchema

from ..http.app_state import AppState
from ..http.error_types import ERROR_TYPES
from ..observability.health import require_readiness
from ..pictures.s3 import SIGNED_URL_SECONDS
from ..pictures.store import picture_store
from .base import FileResponse, Redirect, Resource, gives, sends_file

T = TypeVar("T")

PICTURE_HEADERS = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "cross-origin",
}
# Browsers may follow a redirect to a signed URL again for half of the time that the URL is valid.
REDIRECT_HEADERS = {**PICTURE_HEADERS, "Cache-Control": f"private, max-age={SIGNED_URL_SECONDS // 2}"}

# Returns the OpenAPI document as JSON. `api.openapi` makes it from the routes, which are not known here.
api_document = AppState[Callable[[], bytes]]("openapi")


class ProfilePicture(Resource):
    """`/profile_pics/<image>`"""

    public = {"GET"}
    ignores_query = True

    @sends_file("image/webp", etag=True, redirects=True)
    def get(self, image: str) -> FileResponse | Redirect:
        """Get the file of a picture.

        A name is never reused, so browsers may cache it forever. If `UPLOADS_REDIRECT` is set, the response redirects
        to a signed S3 URL.
        """
        if current_app.config["UPLOADS_REDIRECT"]:
            return Redirect(or_404(picture_store.get().signed_url(image, request.method)), REDIRECT_HEADERS)
        return FileResponse(or_404(picture_store.get().read(image)), PICTURE_HEADERS, image.removesuffix(".webp"))


def or_404(found: T | None) -> T:
    """Return what was found, a picture or its URL. Raises `NotFound` for None."""
    if found is None:
        raise NotFound("Picture not found")
    return found


class ErrorPage(Resource):
    """`/errors/<slug>`"""

    public = {"GET"}

    @sends_file("text/html")
    def get(self, slug: str) -> FileResponse:
        """Get the page that explains an error type."""
        if slug not in ERROR_TYPES:
            raise NotFound("Error type not found")
        nonce = secrets.token_urlsafe(16)
        url = current_app.config["PUBLIC_URL"]
        page = render_template("error.html", kind=ERROR_TYPES[slug], url=url, nonce=nonce)
        policy = f"default-src 'none'; style-src 'nonce-{nonce}'; frame-ancestors 'none'"
        return FileResponse(page, {"Content-Security-Policy": policy})


class Health(Resource):
    """`/health/live`"""

    public = {"GET"}
    ignores_query = True

    @gives(HealthSchema)
    def get(self) -> dict[str, Any]:
        """Check that the server responds (liveness)."""
        return {"live": True}


class Readiness(Resource):
    """`/health/ready`"""

    public = {"GET"}
    ignores_query = True

    @gives(ReadinessSchema)
    def get(self) -> dict[str, Any]:
        """Check that the server can handle requests (readiness).

        The database is reachable, no migration is pending, pictures can be stored, and the server is not shutting down.
        Otherwise `error.fields` has the reasons. The response takes at most two seconds.
        """
        require_readiness()
        return {"database": True, "migrations": True, "store": True}


class ApiDocument(Resource):
    """`/openapi.json`"""

    public = {"GET"}

    @sends_file("application/json", etag=True)
    def get(self) -> FileResponse:
        """Get this OpenAPI 3.1 document."""
        content = api_document.get()()
        return FileResponse(content, etag=hashlib.sha256(content).hexdigest())
