"""All routes: each resource and its URL. Every path also answers with a trailing slash, without a redirect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask
from flask_restful import Api
from werkzeug.routing import IntegerConverter

from models.base import MAX_ID

from .resources.dogs import DogItem, DogList
from .resources.system import ApiDocument, ErrorPage, Health, ProfilePicture, Readiness
from .resources.users import (
    UserItem,
    UserLogin,
    UserLogout,
    UserPassword,
    UserPicture,
    UserProfile,
    UserRegister,
)

ROUTES = (
    (UserRegister, "/user/register"),
    (UserLogin, "/user/login"),
    (UserLogout, "/user/logout"),
    (UserProfile, "/user/profile"),
    (UserPassword, "/user/password"),
    (UserPicture, "/user/picture"),
    (UserItem, "/user/<id:user_id>"),
    (DogList, "/api/v1/dogs"),
    (DogItem, "/api/v1/dogs/<id:dog_id>"),
    (ProfilePicture, "/profile_pics/<image>"),
    (ErrorPage, "/errors/<slug>"),
    (Health, "/health/live"),
    (Readiness, "/health/ready"),
    (ApiDocument, "/openapi.json"),
)


class IdConverter(IntegerConverter):
    """An ID in a path: an integer in the range of the database. Anything else does not match, and is 404."""

    regex = "[0-9]{1,19}"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.max = MAX_ID


class KennelApi(Api):
    """Flask-RESTful, with all error handling left to `api.http.errors`."""

    def error_router(self, original_handler: Callable[[Exception], Any], e: Exception) -> Any:
        """Return Flask's own response. Flask-RESTful's would quote what the client sent."""
        return original_handler(e)


def init_app(app: Flask) -> None:
    """Add the rule of every resource."""
    app.url_map.converters["id"] = IdConverter
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False  # merging is a redirect, and a redirect loses a POST's body
    api = KennelApi(app)
    for resource, path in ROUTES:
        api.add_resource(resource, path)
