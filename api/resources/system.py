"""What is not about users and dogs: pictures' files, error pages, the API's description, and signs of life."""

from __future__ import annotations

import hashlib
import secrets

from flask import current_app, render_template, request

from models import NotFound
from schemas import HealthSchema, ReadinessSchema

from ..http.error_types import ERROR_TYPES
from ..observability.health import require_readiness
from ..pictures.s3 import SIGNED_SECONDS
from ..pictures.store import picture_store
from .base import FileResponse, Redirect, Resource, gives, sends_file

PICTURE_HEADERS = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "cross-origin",
}
# Browsers may go to a signed URL again for half of its life.
REDIRECT_HEADERS = {**PICTURE_HEADERS, "Cache-Control": f"private, max-age={SIGNED_SECONDS // 2}"}


class ProfilePicture(Resource):
    """`/profile_pics/<image>`"""

    public = {"GET"}

    @sends_file("image/webp")
    def get(self, image):
        """Send the file of a picture. Its name is never given to another one, so browsers may keep it.

        304 where `If-None-Match` names its `ETag`. 302 to the store that has it, where the server is set to do so.
        """
        if current_app.config["UPLOADS_REDIRECT"]:
            return Redirect(or_404(picture_store().signed_url(image, request.method)), REDIRECT_HEADERS)
        return FileResponse(or_404(picture_store().read(image)), PICTURE_HEADERS, image.removesuffix(".webp"))


def or_404(found):
    """What was found of a picture. Raises `NotFound` where that is nothing."""
    if found is None:
        raise NotFound("There is no picture of this name")
    return found


class ErrorPage(Resource):
    """`/errors/<slug>`"""

    public = {"GET"}

    @sends_file("text/html")
    def get(self, slug):
        """Explain a kind of error to a person."""
        if slug not in ERROR_TYPES:
            raise NotFound("There is no error of this name")
        nonce = secrets.token_urlsafe(16)
        url = current_app.config["PUBLIC_URL"]
        page = render_template("error.html", kind=ERROR_TYPES[slug], url=url, nonce=nonce)
        policy = f"default-src 'none'; style-src 'nonce-{nonce}'; frame-ancestors 'none'"
        return FileResponse(page, {"Content-Security-Policy": policy})


class Health(Resource):
    """`/health/live`"""

    public = {"GET"}

    @gives(HealthSchema)
    def get(self):
        """Say that the server answers."""
        return {"live": True}


class Readiness(Resource):
    """`/health/ready`"""

    public = {"GET"}

    @gives(ReadinessSchema)
    def get(self):
        """Say that the server can do its work: the database answers and is up to date, and pictures can be stored.

        503 where something of it is missing, with each reason in `error.fields`. The answer comes within two seconds.
        """
        require_readiness()
        return {"database": True, "migrations": True, "store": True}


class ApiDocument(Resource):
    """`/openapi.json`"""

    public = {"GET"}

    @sends_file("application/json")
    def get(self):
        """Describe this API, as OpenAPI 3.1.

        304 where `If-None-Match` names its `ETag`.
        """
        content = current_app.extensions["openapi"]()
        return FileResponse(content, etag=hashlib.sha256(content).hexdigest())
