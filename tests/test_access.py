"""Who may do what: every verb of every resource, tried by nobody, by a stranger and by the owner."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from api.routes import ROUTES

from .engines import BOTH_ENGINES
from .factories import PASSWORD, add_dog, photo, register

pytestmark = BOTH_ENGINES

DOG = {"name": "Max", "breed": "Beagle"}
REGISTER = {"username": "Carl", "email": "carl@example.com", "password": PASSWORD}
LOGIN = {"username": "Anna", "password": PASSWORD}
PASSWORDS = {"current_password": PASSWORD, "new_password": "battery staple"}

# Resource, verb, JSON body -> status for nobody, for Bob, and for Anna, whose dog and account {dog} and {user} are.
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
    pytest.param(who, resource, verb, body, statuses[column], id=f"{resource}-{verb}-{who}")
    for resource, verb, body, *statuses in ACCESS
    for column, who in enumerate(("nobody", "stranger", "owner"))
]


@pytest.mark.parametrize(("who", "resource", "verb", "body", "status"), CASES)
def test_answers_each_caller_as_the_table_says(
    app: Flask, who: str, resource: str, verb: str, body: dict[str, Any] | None, status: int
) -> None:
    owner = register(app, "Anna")
    dog = add_dog(owner)
    callers = {"nobody": app.test_client, "stranger": lambda: register(app, "Bob"), "owner": lambda: owner}
    profile = owner.get("/user/profile").json["data"]
    path = {found.__name__: path for found, path in ROUTES}[resource]
    for part, value in {
        "<id:dog_id>": dog["id"],
        "<id:user_id>": profile["id"],
        "<image>": profile["image"],
        "<slug>": "conflict",
    }.items():
        path = path.replace(part, str(value))
    content = {"data": {"file": photo(body["file"])}} if body and "file" in body else {"json": body}

    response = callers[who]().open(path, method=verb, **content)

    assert response.status_code == status, response.get_data(as_text=True)


def test_every_verb_of_every_route_has_a_row() -> None:
    routed = {(resource.__name__, verb) for resource, _ in ROUTES for verb in resource.methods}

    assert {(resource, verb) for resource, verb, *_ in ACCESS} == routed


def test_a_verb_needs_a_login_unless_its_class_names_it_public() -> None:
    strangers_may = {(resource, verb) for resource, verb, _, nobody, *_ in ACCESS if nobody != 401}

    assert {(resource.__name__, verb) for resource, _ in ROUTES for verb in resource.public} == strangers_may
