"""What is not about users and dogs: the first page, pictures' files, error pages, and signs of life."""

from __future__ import annotations

import secrets

from flask import Response, current_app, render_template, request

from models import NotFound

from ..envelope import envelope, json_response
from ..error_types import ERROR_TYPES
from ..storage import pictures
from .base import Resource

PICTURE_HEADERS = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "cross-origin",
}


class Home(Resource):
    """`/`"""

    public = {"GET"}

    def get(self):
        """Say what answers here, and where to go on."""
        paths = {
            "dogs": "/api/v1/dogs",
            "register": "/user/register",
            "login": "/user/login",
            "profile": "/user/profile",
        }
        links = {name: f"{current_app.config['PUBLIC_URL']}{path}" for name, path in paths.items()}
        return json_response(envelope({"name": "Kennel", **links}, 200), 200)


class ProfilePicture(Resource):
    """`/profile_pics/<image>`"""

    public = {"GET"}

    def get(self, image):
        """Send the file of a picture. Its name is never given to another one, so browsers may keep it."""
        content = pictures().open(image)
        if content is None:
            raise NotFound("There is no picture of this name")
        etag = image.removesuffix(".webp")
        if request.if_none_match.contains_weak(etag):
            response = Response(status=304, headers=PICTURE_HEADERS)
        else:
            response = Response(content, mimetype="image/webp", headers=PICTURE_HEADERS)
        response.set_etag(etag)
        return response


class ErrorPage(Resource):
    """`/errors/<slug>`"""

    public = {"GET"}

    def get(self, slug):
        """Explain a kind of error to a person."""
        if slug not in ERROR_TYPES:
            raise NotFound("There is no error of this name")
        nonce = secrets.token_urlsafe(16)
        url = current_app.config["PUBLIC_URL"]
        page = render_template("error.html", kind=ERROR_TYPES[slug], url=url, nonce=nonce)
        policy = f"default-src 'none'; style-src 'nonce-{nonce}'; frame-ancestors 'none'"
        return Response(page, mimetype="text/html", headers={"Content-Security-Policy": policy})


class Health(Resource):
    """`/health/live`"""

    public = {"GET"}

    def get(self):
        """Say that the server answers."""
        return json_response(envelope({"live": True}, 200), 200)
