"""No process ever answers with what was, once another one has answered a change of it: on both engines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from .cluster import TwoNodeCluster, call, registration_fields
from .engines import BOTH_ENGINES
from .factories import PASSWORD

pytestmark = BOTH_ENGINES

DOGS = "/api/v1/dogs"
ROUNDS = range(6)


@pytest.fixture
def processes(system: None, new_database: Callable[..., str], tmp_path: Path) -> Iterator[TwoNodeCluster]:
    """Two servers of one process each, so that each answer is of one or the other, on one database and one folder."""
    shared = {
        "DATABASE_URL": new_database(),
        "UPLOADS_URL": str(tmp_path / "uploads"),
        "WEB_CONCURRENCY": "1",
        "PUBLIC_URL": "http://localhost",
        "RATELIMIT_ENABLED": "false",
    }
    with TwoNodeCluster(tmp_path, **shared) as running:
        yield running


def register(processes: TwoNodeCluster, name: str = "Anna") -> dict[str, str]:
    """The cookie of a new user."""
    answer = call(processes.one, "POST", "/user/register", json=registration_fields(name))
    assert answer.status_code == 201, answer.text
    return answer.cookies.get_dict()


def log_in(server: Any, password: str = PASSWORD, name: str = "Anna") -> requests.Response:
    return call(server, "POST", "/user/login", json={"username": name, "password": password})


def rounds(processes: TwoNodeCluster) -> Iterator[tuple[int, Any, Any]]:
    """The number of each round, who writes in it, and who is asked: each in turn."""
    for number in ROUNDS:
        yield number, *(processes.both if number % 2 else processes.both[::-1])


def test_a_change_a_new_dog_and_a_deleted_one_are_in_every_answer_of_the_other_process(
    processes: TwoNodeCluster,
) -> None:
    cookies = register(processes)
    queries = (
        {}, {"sort": "-name", "limit": "2"}, {"name": "rex"}, {"breed": "poodle"}, {"q": "re"}, {"q": "rex"},
        {"owner": "anna", "q": "poo"}, {"mine": "true"}, {"sort": "-created_at"}, {"user_id": "1"},
    )  # fmt: skip
    present: dict[int, dict[str, Any]] = {}

    def expected(query: dict[str, str]) -> list[dict[str, Any]]:
        """The dogs that fit, by the plainest means."""
        found = [
            dog
            for _, dog in sorted(present.items())
            if all(dog[name].lower() == query.get(name, dog[name].lower()) for name in ("name", "breed"))
            and any(query.get("q", "") in dog[name].lower() for name in ("name", "owner", "breed"))
        ]
        if query.get("sort") == "-name":
            found.sort(key=lambda dog: (dog["name"].lower(), dog["id"]), reverse=True)
        if query.get("sort") == "-created_at":
            found.sort(key=lambda dog: (dog["created_at"], dog["id"]), reverse=True)
        return found[: int(query.get("limit", 50))]

    def assert_known(reader: Any) -> None:
        for query in queries:
            answer = call(reader, "GET", DOGS, params=query, cookies=cookies)
            assert answer.json()["data"] == expected(query), query

    def write(writer: Any, method: str, path: str, **content: Any) -> requests.Response:
        answer = call(writer, method, path, cookies=cookies, **content)
        assert answer.status_code == (201 if method == "POST" else 200), answer.text
        return answer

    for server in processes.both:
        assert_known(server)
    for number, writer, reader in rounds(processes):
        made = write(writer, "POST", DOGS, json={"name": "Rex", "breed": "Poodle"})
        dog, etag = made.json()["data"], made.headers["ETag"]
        path = f"{DOGS}/{dog['id']}"
        present[dog["id"]] = dog
        assert_known(reader)
        assert call(reader, "GET", path, headers={"If-None-Match": etag}).status_code == 304

        for method, content in (
            ("PATCH", {"name": f"Max {number}"}),
            ("PUT", {"name": "Rex", "breed": f"Beagle {number}"}),
            ("PATCH", {"name": f"Rex {number}"}),
        ):
            changed = write(writer, method, path, json=content)
            present[dog["id"]] = changed.json()["data"]
            seen = call(reader, "GET", path, headers={"If-None-Match": etag})
            assert (seen.status_code, seen.json()["data"]) == (200, present[dog["id"]])
            assert seen.headers["ETag"] == changed.headers["ETag"] != etag
            assert_known(reader)
            etag = changed.headers["ETag"]

        if number % 3:
            write(writer, "DELETE", path)
            del present[dog["id"]]
            assert call(reader, "GET", path, headers={"If-None-Match": etag}).status_code == 404
            assert_known(reader)


def test_a_changed_account_is_in_the_answers_of_the_other_process_and_a_deleted_one_in_none(
    processes: TwoNodeCluster,
) -> None:
    cookies = register(processes)
    for number, writer, reader in rounds(processes):
        name = f"Anna {number}"
        fields = {"username": name, "email": f"anna{number}@example.com", "current_password": PASSWORD}
        changed = call(writer, "PATCH", "/user/profile", json=fields, cookies=cookies)
        assert changed.status_code == 200, changed.text

        profile = call(reader, "GET", "/user/profile", cookies=cookies).json()["data"]
        assert profile == changed.json()["data"]
        assert profile["username"] == name
        shown = call(reader, "GET", f"/user/{profile['id']}").json()["data"]
        assert shown == {key: profile[key] for key in shown}
        dog = call(reader, "POST", DOGS, json={"name": "Rex", "breed": "Poodle"}, cookies=cookies)
        assert dog.json()["data"]["owner"] == name
        assert log_in(reader, name=name).status_code == 200
        assert log_in(reader, name=f"Anna {number - 1}").status_code == 401

    gone = call(processes.one, "DELETE", "/user/profile", json={"current_password": PASSWORD}, cookies=cookies)
    assert gone.status_code == 200
    assert call(processes.other, "GET", "/user/profile", cookies=cookies).status_code == 401
    assert call(processes.other, "GET", f"/user/{profile['id']}").status_code == 404
    assert call(processes.other, "GET", DOGS, cookies=cookies).json()["data"] == []


def test_a_cookie_is_401_in_every_process_after_a_logout_or_a_new_password_in_one(processes: TwoNodeCluster) -> None:
    register(processes)
    password = PASSWORD

    def statuses(cookies: dict[str, str]) -> list[int]:
        """How each process answers who has this cookie, for reads and writes."""
        asked = [("GET", "/user/profile", {}), ("GET", f"{DOGS}?mine=true", {}), ("POST", DOGS, {"json": {}})]
        return [
            call(server, method, path, cookies=cookies, **content).status_code
            for server in processes.both
            for method, path, content in asked
        ]

    alive, ended = [200, 200, 422] * 2, [401, 401, 401] * 2
    for number, writer, reader in rounds(processes):
        leaving, own, third = (log_in(server, password).cookies.get_dict() for server in (reader, writer, reader))
        assert [statuses(cookies) for cookies in (leaving, own, third)] == [alive] * 3

        assert call(writer, "POST", "/user/logout", cookies=leaving).status_code == 200
        assert [statuses(cookies) for cookies in (leaving, own, third)] == [ended, alive, alive]

        change = {"current_password": password, "new_password": f"another horse {number}"}
        assert call(writer, "PUT", "/user/password", json=change, cookies=own).status_code == 200
        assert [statuses(cookies) for cookies in (leaving, own, third)] == [ended, alive, ended]
        assert log_in(reader, password).status_code == 401
        password = change["new_password"]
        assert call(reader, "POST", "/user/logout", cookies=own).status_code == 200
        assert statuses(own) == ended
