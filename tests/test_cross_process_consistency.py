"""Read-after-write consistency between server processes, on both engines."""

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
    """Two servers of one process each, which share a database and a picture folder."""
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
    """Register a user, and return its session cookie."""
    response = call(processes.one, "POST", "/user/register", json=registration_fields(name))
    assert response.status_code == 201, response.text
    return response.cookies.get_dict()


def log_in(server: Any, password: str = PASSWORD, name: str = "Anna") -> requests.Response:
    return call(server, "POST", "/user/login", json={"username": name, "password": password})


def alternate_servers(processes: TwoNodeCluster) -> Iterator[tuple[int, Any, Any]]:
    """Yield the number of each round, the server to write to and the server to read from, which swap each round."""
    for number in ROUNDS:
        yield number, *(processes.both if number % 2 else processes.both[::-1])


def test_writes_visible_across_processes(processes: TwoNodeCluster) -> None:
    cookies = register(processes)
    queries = (
        {}, {"sort": "-name", "limit": "2"}, {"name": "rex"}, {"breed": "poodle"}, {"q": "re"}, {"q": "rex"},
        {"owner": "anna", "q": "poo"}, {"mine": "true"}, {"sort": "-created_at"}, {"user_id": "1"},
    )  # fmt: skip
    dogs: dict[int, dict[str, Any]] = {}

    def expected_dogs(query: dict[str, str]) -> list[dict[str, Any]]:
        """Return the dogs that match a query, by a reference implementation of filters and sort orders."""
        found = [
            dog
            for _, dog in sorted(dogs.items())
            if all(dog[name].lower() == query.get(name, dog[name].lower()) for name in ("name", "breed"))
            and any(query.get("q", "") in dog[name].lower() for name in ("name", "owner", "breed"))
        ]
        if query.get("sort") == "-name":
            found.sort(key=lambda dog: (dog["name"].lower(), dog["id"]), reverse=True)
        if query.get("sort") == "-created_at":
            found.sort(key=lambda dog: (dog["created_at"], dog["id"]), reverse=True)
        return found[: int(query.get("limit", 50))]

    def assert_consistent(reader: Any) -> None:
        for query in queries:
            response = call(reader, "GET", DOGS, params=query, cookies=cookies)
            assert response.json()["data"] == expected_dogs(query), query

    def write(writer: Any, method: str, path: str, **content: Any) -> requests.Response:
        response = call(writer, method, path, cookies=cookies, **content)
        assert response.status_code == (201 if method == "POST" else 200), response.text
        return response

    for server in processes.both:
        assert_consistent(server)
    for number, writer, reader in alternate_servers(processes):
        created = write(writer, "POST", DOGS, json={"name": "Rex", "breed": "Poodle"})
        dog, etag = created.json()["data"], created.headers["ETag"]
        path = f"{DOGS}/{dog['id']}"
        dogs[dog["id"]] = dog
        assert_consistent(reader)
        assert call(reader, "GET", path, headers={"If-None-Match": etag}).status_code == 304

        for method, content in (
            ("PATCH", {"name": f"Max {number}"}),
            ("PUT", {"name": "Rex", "breed": f"Beagle {number}"}),
            ("PATCH", {"name": f"Rex {number}"}),
        ):
            updated = write(writer, method, path, json=content)
            dogs[dog["id"]] = updated.json()["data"]
            read = call(reader, "GET", path, headers={"If-None-Match": etag})
            assert (read.status_code, read.json()["data"]) == (200, dogs[dog["id"]])
            assert read.headers["ETag"] == updated.headers["ETag"] != etag
            assert_consistent(reader)
            etag = updated.headers["ETag"]

        if number % 3:
            write(writer, "DELETE", path)
            del dogs[dog["id"]]
            assert call(reader, "GET", path, headers={"If-None-Match": etag}).status_code == 404
            assert_consistent(reader)


def test_account_changes_visible_across_processes(processes: TwoNodeCluster) -> None:
    cookies = register(processes)
    for number, writer, reader in alternate_servers(processes):
        name = f"Anna {number}"
        fields = {"username": name, "email": f"anna{number}@example.com", "current_password": PASSWORD}
        updated = call(writer, "PATCH", "/user/profile", json=fields, cookies=cookies)
        assert updated.status_code == 200, updated.text

        profile = call(reader, "GET", "/user/profile", cookies=cookies).json()["data"]
        assert profile == updated.json()["data"]
        assert profile["username"] == name
        public = call(reader, "GET", f"/user/{profile['id']}").json()["data"]
        assert public == {key: profile[key] for key in public}
        dog = call(reader, "POST", DOGS, json={"name": "Rex", "breed": "Poodle"}, cookies=cookies)
        assert dog.json()["data"]["owner"] == name
        assert log_in(reader, name=name).status_code == 200
        assert log_in(reader, name=f"Anna {number - 1}").status_code == 401

    deleted = call(processes.one, "DELETE", "/user/profile", json={"current_password": PASSWORD}, cookies=cookies)
    assert deleted.status_code == 200
    assert call(processes.other, "GET", "/user/profile", cookies=cookies).status_code == 401
    assert call(processes.other, "GET", f"/user/{profile['id']}").status_code == 404
    assert call(processes.other, "GET", DOGS, cookies=cookies).json()["data"] == []


def test_ended_session_returns_401_in_every_process(processes: TwoNodeCluster) -> None:
    register(processes)
    password = PASSWORD

    def get_statuses(cookies: dict[str, str]) -> list[int]:
        """Return the status of reads and of a write with this cookie, in each process."""
        checks = [("GET", "/user/profile", {}), ("GET", f"{DOGS}?mine=true", {}), ("POST", DOGS, {"json": {}})]
        return [
            call(server, method, path, cookies=cookies, **content).status_code
            for server in processes.both
            for method, path, content in checks
        ]

    active, ended = [200, 200, 422] * 2, [401, 401, 401] * 2
    for number, writer, reader in alternate_servers(processes):
        logged_out, current, other = (
            log_in(server, password).cookies.get_dict() for server in (reader, writer, reader)
        )
        assert [get_statuses(cookies) for cookies in (logged_out, current, other)] == [active] * 3

        assert call(writer, "POST", "/user/logout", cookies=logged_out).status_code == 200
        assert [get_statuses(cookies) for cookies in (logged_out, current, other)] == [ended, active, active]

        change = {"current_password": password, "new_password": f"another horse {number}"}
        changed = call(writer, "PUT", "/user/password", json=change, cookies=current)
        assert changed.status_code == 200
        current, former = changed.cookies.get_dict(), current
        assert get_statuses(former) == ended
        assert [get_statuses(cookies) for cookies in (logged_out, current, other)] == [ended, active, ended]
        assert log_in(reader, password).status_code == 401
        password = change["new_password"]
        assert call(reader, "POST", "/user/logout", cookies=current).status_code == 200
        assert get_statuses(current) == ended
