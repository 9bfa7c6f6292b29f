"""What schemathesis has to know of Kennel beside its OpenAPI document: pictures, cursors, and how to log in."""

from __future__ import annotations

import itertools
import os
from typing import Any

import requests
import schemathesis
from hypothesis import strategies
from schemathesis import AuthContext, Case, HookContext, Response

from .factories import PASSWORD, make_image

PICTURES = [make_image((8, 8), kind) for kind in ("JPEG", "PNG", "WEBP", "GIF", "AVIF")]
# Those of the examples in the document.
TAKEN = {"username": "Anna", "email": "anna@example.com"}
numbers = itertools.count(1)

schemathesis.openapi.format("binary", strategies.sampled_from(PICTURES))


def new_names() -> dict[str, str]:
    """A username and an address that no account has."""
    number = next(numbers)
    return {"username": f"Anna{number}", "email": f"anna{number}@example.com"}


class Account:
    """Who is logged in. schemathesis asks for it at the start and after each 401, which sends the call once more.

    So a call may end the session, change the password or delete the account, and the next one is logged in again.
    """

    names: dict[str, str] = {}
    # Of all its sessions; the last one is the one that lives.
    cookies: list[str] = []

    def get(self, case: Case, context: AuthContext) -> str:
        """The cookie of a new session."""
        url = f"{case.operation.schema.get_base_url()}/user"
        answer = requests.post(f"{url}/login", json={**self.names, "password": PASSWORD}, timeout=30)
        if not answer.ok:
            self.names = new_names()
            answer = requests.post(f"{url}/register", json={**self.names, "password": PASSWORD}, timeout=30)
        self.cookies.append(answer.cookies["session"])
        return self.cookies[-1]

    def set(self, case: Case, cookie: str, context: AuthContext) -> None:
        """Send the cookie along."""
        case.cookies = {**case.cookies, "session": cookie}


if os.environ["CALLER"] == "user":
    schemathesis.auth().skip_for(path=["/user/register", "/user/login"])(Account)


def trimmed(values: Any) -> Any:
    """These values, with their texts trimmed."""
    # A body with a file stays as it is: schemathesis takes it for a wrong one once it is changed.
    if not isinstance(values, dict) or "file" in values:
        return values
    return {name: value.strip() if isinstance(value, str) else value for name, value in values.items()}


def next_page(case: Case) -> dict[str, Any]:
    """The query of a list, with the cursor of its next page where it has one."""
    query = {name: value for name, value in case.query.items() if name != "cursor"}
    call = case.operation.Case(path_parameters=case.path_parameters, query=query, cookies=case.cookies)
    page = call.call().json().get("page")
    return query | ({"cursor": page["next"]} if page and page["next"] else {})


def own_dog(case: Case) -> dict[str, Any]:
    """The path of a new dog of who calls; the path as it is, where nobody does."""
    url = f"{case.operation.schema.get_base_url()}/api/v1/dogs"
    answer = requests.post(url, json={"name": "Rex", "breed": "Poodle"}, cookies=case.cookies, timeout=30)
    return {"dog_id": answer.json()["data"]["id"]} if answer.ok else case.path_parameters


@schemathesis.hook
def before_call(context: HookContext, case: Case, kwargs: dict[str, Any]) -> None:
    """Send texts as they are once they are trimmed, and what no document can tell.

    That is a session that lives, the cursor of this very list, names that are free, and a dog of one's own: every
    other time, and always to delete, which can be done but once. A case that is changed is judged anew:
    whether the API is to take or to refuse it.
    """
    if case.meta is None:
        return
    if case.cookies.get("session") in Account.cookies:
        case.cookies = {**case.cookies, "session": Account.cookies[-1]}
    for part in ("query", "body"):
        values = getattr(case, part)
        if trimmed(values) != values:
            setattr(case, part, trimmed(values))
    if case.meta.generation.mode.is_negative:
        return
    if "cursor" in case.query:
        case.query = next_page(case)
    if case.operation.label in ("POST /user/register", "PATCH /user/profile") and "file" not in case.body:
        free = new_names()
        case.body = {name: free[name] if text == TAKEN.get(name) else text for name, text in case.body.items()}
    is_step = case.meta.phase.name == "stateful"  # of which each is about what the one before has made
    if "dog_id" in case.path_parameters and not is_step and (case.method == "DELETE" or next(numbers) % 2):
        case.path_parameters = own_dog(case)


@schemathesis.hook
def after_call(context: HookContext, case: Case, response: Response) -> None:
    """Give the account back its password, which what comes later needs."""
    if (response.request.method, case.path, response.status_code) == ("PUT", "/user/password", 200):
        passwords = {"current_password": case.body["new_password"], "new_password": PASSWORD}
        requests.put(response.request.url, json=passwords, cookies=case.cookies, timeout=30).raise_for_status()
