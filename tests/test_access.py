"""Access control: the status of each (resource, verb) for an anonymous caller, another user and the owner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask

from api.http.errors import Forbidden
from api.routes import ROUTES
from api.security.authentication import require_owner

from .engines import BOTH_ENGINES
from .factories import PASSWORD, add_dog, photo, register

pytestmark = BOTH_ENGINES

DOG = {"name": "Max", "breed": "Beagle"}
REGISTER = {"username": "Carl", "email": "carl@example.com", "password": PASSWORD}
LOGIN = {"username": "Anna", "password": PASSWORD}
PASSWORDS = {"current_password": PASSWORD, "new_password": "battery staple"}

CALLERS = ("anonymous", "other_user", "owner")
# Resource, verb, JSON body -> status for each of CALLERS. Anna owns the dog and the account in the URL; Bob is the
# other user.
ACCESS: list[tuple[str, str, dict[str, Any] | None, int, int, int]] = [
    ("UserRegister", "POST", REGISTER, 201, 201, 201),
    ("UserLogin", "POST", LOGIN, 200, 200, 200),
    ("UserLogout", "POST", None, 200, 200, 200),
    ("UserProfile", "GET", None, 401, 200, 200),
    ("UserProfile", "PATCH", {}, 401, 200, 200),
    ("UserProfile", "DELETE", {"current_password": PASSWORD}, 401, 200, 200),
    ("UserPassword", "PUT", PASSWORDS, 401, 200, 200),
    ("UserPicture", "PUT", {"file": "grace_hopper.jpg"}, 401, 200, 200),
    ("UserPicture", "DELETE", None, 401, 200, 200),
    ("UserItem", "GET", None, 200, 200, 200),
    ("DogList", "GET", None, 200, 200, 200),
    ("DogList", "POST", DOG, 401, 201, 201),
    ("DogItem", "GET", None, 200, 200, 200),
    ("DogItem", "PUT", DOG, 401, 403, 200),
    ("DogItem", "PATCH", DOG, 401, 403, 200),
    ("DogItem", "DELETE", None, 401, 403, 200),
    ("ProfilePicture", "GET", None, 200, 200, 200),
    ("ErrorPage", "GET", None, 200, 200, 200),
    ("Health", "GET", None, 200, 200, 200),
    ("Readiness", "GET", None, 200, 200, 200),
    ("ApiDocument", "GET", None, 200, 200, 200),
]

CASES = [
    pytest.param(resource, verb, caller, body, status, id=f"{resource}-{verb}-{caller}")
    for resource, verb, body, *statuses in ACCESS
    for caller, status in zip(CALLERS, statuses, strict=True)
]


@pytest.mark.parametrize(("resource", "verb", "caller", "body", "status"), CASES)
def test_access_matrix(
    app: Flask, resource: str, verb: str, caller: str, body: dict[str, Any] | None, status: int
) -> None:
    owner = register(app, "Anna")
    dog = add_dog(owner)
    clients = {"anonymous": app.test_client, "other_user": lambda: register(app, "Bob"), "owner": lambda: owner}
    profile = owner.get("/user/profile").json["data"]
    path = {route.__name__: path for route, path in ROUTES}[resource]
    for parameter, value in {
        "<id:dog_id>": dog["id"],
        "<id:user_id>": profile["id"],
        "<image>": profile["image"],
        "<slug>": "conflict",
    }.items():
        path = path.replace(parameter, str(value))
    content = {"data": {"file": photo(body["file"])}} if body and "file" in body else {"json": body}

    response = clients[caller]().open(path, method=verb, **content)

    assert response.status_code == status, response.get_data(as_text=True)


def test_access_matrix_is_complete() -> None:
    routed = {(resource.__name__, verb) for resource, _ in ROUTES for verb in resource.methods}

    assert {(resource, verb) for resource, verb, *_ in ACCESS} == routed


def test_verbs_need_login_unless_declared_public() -> None:
    open_to_anonymous = {(resource, verb) for resource, verb, _, anonymous, *_ in ACCESS if anonymous != 401}

    assert {(resource.__name__, verb) for resource, _ in ROUTES for verb in resource.public} == open_to_anonymous


@dataclass
class Walk:
    """A row of another model that belongs to a user."""

    user_id: int


def test_require_owner_works_for_any_model(app: Flask) -> None:
    with register(app, "Anna") as anna:
        walk = Walk(anna.get("/user/profile").json["data"]["id"])
        assert require_owner(walk) is walk
    with register(app, "Bob") as bob:
        bob.get("/user/profile")
        with pytest.raises(Forbidden, match=r"^This walk belongs to another user$"):
            require_owner(walk)
