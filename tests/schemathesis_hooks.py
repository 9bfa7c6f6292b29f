"""Hooks that give schemathesis what the OpenAPI document cannot express: authentication, cursors and pictures."""

from __future__ import annotations

import itertools
import os
import re
from typing import Any

import requests
import schemathesis
from hypothesis import strategies
from schemathesis import AuthContext, Case, HookContext, Response

from .factories import PASSWORD, make_image

PICTURES = [make_image((8, 8), kind) for kind in ("JPEG", "PNG", "WEBP", "GIF", "AVIF")]
SESSION_COOKIE = re.compile(r"kennel_session=([^;]+)")
# The account of the examples in the document.
DOCUMENTED_ACCOUNT = {"username": "Anna", "email": "anna@example.com"}
numbers = itertools.count(1)

schemathesis.openapi.format("binary", strategies.sampled_from(PICTURES))


def make_unused_names() -> dict[str, str]:
    """Return a username and an e-mail address that are not in use."""
    number = next(numbers)
    return {"username": f"Anna{number}", "email": f"anna{number}@example.com"}


class Account:
    """Authentication. schemathesis calls `get` at the start and after each 401, and then repeats the request.

    So a request may end the session, change the password or delete the account; the next one is logged in again.
    """

    account: dict[str, str] = {}
    # The cookies of all sessions; only the last one is valid.
    cookies: list[str] = []

    def get(self, case: Case, context: AuthContext) -> str:
        """Return the cookie of a new session."""
        url = f"{case.operation.schema.get_base_url()}/user"
        response = requests.post(f"{url}/login", json={**self.account, "password": PASSWORD}, timeout=30)
        if not response.ok:
            self.account = make_unused_names()
            response = requests.post(f"{url}/register", json={**self.account, "password": PASSWORD}, timeout=30)
        self.cookies.append(response.cookies["kennel_session"])
        return self.cookies[-1]

    def set(self, case: Case, cookie: str, context: AuthContext) -> None:
        """Add the cookie to a request."""
        case.cookies = {**case.cookies, "kennel_session": cookie}


if os.environ["CALLER"] == "user":
    schemathesis.auth().skip_for(path=["/user/register", "/user/login"])(Account)


def strip_strings(values: Any) -> Any:
    """Return these values with their strings stripped."""
    # A body with a file is left alone: schemathesis regards it as invalid once it is changed.
    if not isinstance(values, dict) or "file" in values:
        return values
    return {name: value.strip() if isinstance(value, str) else value for name, value in values.items()}


def without_truth_values(values: Any) -> Any:
    """Return these values without spellings of booleans that forms and queries accept, but JSON does not."""
    if not isinstance(values, dict):
        return values
    accepted = {
        name
        for name in ("mine", "remember")
        if str(values.get(name)).lower() in ("0", "1", "true", "false", "on", "off")
    }
    return {name: value for name, value in values.items() if name not in accepted} if accepted else values


def follow_cursor(case: Case) -> dict[str, Any]:
    """Return the query of a list with the cursor of its next page, if there is one."""
    query = {name: value for name, value in case.query.items() if name != "cursor"}
    call = case.operation.Case(path_parameters=case.path_parameters, query=query, cookies=case.cookies)
    page = call.call().json().get("page")
    return query | ({"cursor": page["next"]} if page and page["next"] else {})


def create_own_dog(case: Case) -> dict[str, Any]:
    """Create a dog and return its path parameters, or the given ones if the caller is anonymous."""
    url = f"{case.operation.schema.get_base_url()}/api/v1/dogs"
    response = requests.post(url, json={"name": "Rex", "breed": "Poodle"}, cookies=case.cookies, timeout=30)
    return {"dog_id": response.json()["data"]["id"]} if response.ok else case.path_parameters


@schemathesis.hook
def before_call(context: HookContext, case: Case, kwargs: dict[str, Any]) -> None:
    """Strip strings, and insert values that the document cannot express.

    These are a valid session, the cursor of the same list, unused names, and a dog of the caller: for every other
    request, and for each DELETE, which succeeds only once. schemathesis decides again whether a changed case is valid.
    """
    if case.meta is None:
        return
    if case.cookies.get("kennel_session") in Account.cookies:
        case.cookies = {**case.cookies, "kennel_session": Account.cookies[-1]}
    for part in ("query", "body"):
        values = getattr(case, part)
        if strip_strings(values) != values:
            setattr(case, part, strip_strings(values))
    if case.meta.generation.mode.is_negative:
        for part in ("query", "body"):
            setattr(case, part, without_truth_values(getattr(case, part)))
        return
    if "cursor" in case.query:
        case.query = follow_cursor(case)
    if case.operation.label in ("POST /user/register", "PATCH /user/profile") and "file" not in case.body:
        unused = make_unused_names()
        case.body = {
            name: unused[name] if text == DOCUMENTED_ACCOUNT.get(name) else text for name, text in case.body.items()
        }
    is_stateful_step = case.meta.phase.name == "stateful"  # uses what the previous step has created
    if "dog_id" in case.path_parameters and not is_stateful_step and (case.method == "DELETE" or next(numbers) % 2):
        case.path_parameters = create_own_dog(case)


@schemathesis.hook
def after_call(context: HookContext, case: Case, response: Response) -> None:
    """Restore the password of the account for the following requests."""
    if (response.request.method, case.path, response.status_code) == ("PUT", "/user/password", 200):
        passwords = {"current_password": case.body["new_password"], "new_password": PASSWORD}
        cookies = {"kennel_session": SESSION_COOKIE.search(str(response.headers))[1]}
        restored = requests.put(response.request.url, json=passwords, cookies=cookies, timeout=30)
        restored.raise_for_status()
        Account.cookies.append(restored.cookies["kennel_session"])
