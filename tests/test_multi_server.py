"""Two servers on one PostgreSQL and one store are one to their users: what one has answered, the other knows."""

from __future__ import annotations

import json
import threading
from base64 import urlsafe_b64decode
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import requests

from .cluster import TwoNodeCluster, call, photo_file, registration_fields
from .factories import PASSWORD
from .live_server import Server
from .postgres import Databases
from .redis import NEEDS_REDIS
from .s3 import S3, Bucket

# Each test has users of its own on the same two servers.
numbers = count(1)
WRONG = "not this one"


@pytest.fixture(scope="module")
def store(s3: S3) -> Bucket:
    """Where both servers keep their pictures."""
    return s3.make_bucket()


@pytest.fixture(scope="module")
def machines(
    system: None, databases: Databases, store: Bucket, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TwoNodeCluster]:
    """Two servers that share nothing but a database and a store."""
    url = databases.create()
    folder = tmp_path_factory.mktemp("machines")
    shared = {"DATABASE_URL": url, "UPLOADS_URL": store.url, **store.s3.environment}
    with TwoNodeCluster(folder, RATELIMIT_ENABLED="false", **shared) as running:
        yield running
    databases.drop(url)


class User:
    """A new user, who registers on one server and speaks to any."""

    def __init__(self, server: Server, name: str = "Anna", **content: Any) -> None:
        self.name = f"{name}{next(numbers)}"
        answer = call(server, "POST", "/user/register", data=registration_fields(self.name), **content)
        assert answer.status_code == 201, answer.text
        self.data = answer.json()["data"]
        self.cookies = answer.cookies.get_dict()

    def call(self, server: Server, method: str, path: str, **content: Any) -> requests.Response:
        """Call a server with the session of this user."""
        return call(server, method, path, cookies=self.cookies, **content)

    def log_in(self, server: Server, password: str = PASSWORD) -> requests.Response:
        """Log in once more, without the session that there is."""
        return call(server, "POST", "/user/login", json={"username": self.name, "password": password})


def token_of(login: requests.Response) -> str:
    """The bearer token of the session that this login has opened: its key, which the cookie holds and signs."""
    held = login.cookies["session"].split(".")[0]
    return json.loads(urlsafe_b64decode(held + "=" * (-len(held) % 4)))["_user_id"]


def profile(server: Server, **who: Any) -> int:
    """How the profile answers to somebody: in twenty calls on connections of their own, so that all processes do."""
    (status,) = {call(server, "GET", "/user/profile", **who).status_code for _ in range(20)}
    return status


# --- Sessions and accounts ---


def test_a_session_made_on_one_is_valid_on_the_other_and_ended_there_ends_on_both(machines: TwoNodeCluster) -> None:
    anna = User(machines.one)
    assert profile(machines.other, cookies=anna.cookies) == 200

    assert anna.call(machines.other, "POST", "/user/logout").status_code == 200

    assert [profile(server, cookies=anna.cookies) for server in machines.both] == [401, 401]


def test_a_change_of_the_password_on_one_ends_other_sessions_and_tokens_on_the_other(machines: TwoNodeCluster) -> None:
    anna = User(machines.one)
    again = anna.log_in(machines.other)
    change = {"current_password": PASSWORD, "new_password": "another horse"}
    bearer = {"Authorization": f"Bearer {token_of(again)}"}
    assert profile(machines.other, headers=bearer) == 200

    assert anna.call(machines.one, "PUT", "/user/password", json=change).status_code == 200

    assert profile(machines.other, headers=bearer) == 401
    assert profile(machines.other, cookies=again.cookies.get_dict()) == 401
    assert profile(machines.other, cookies=anna.cookies) == 200
    assert anna.log_in(machines.other).status_code == 401
    assert anna.log_in(machines.other, "another horse").status_code == 200


def test_an_account_deleted_on_one_is_gone_on_the_other(machines: TwoNodeCluster) -> None:
    anna = User(machines.one, files=photo_file())
    dog = anna.call(machines.one, "POST", "/api/v1/dogs", json={"name": "Rex", "breed": "Poodle"}).json()["data"]
    paths = [f"/user/{anna.data['id']}", f"/api/v1/dogs/{dog['id']}", f"/profile_pics/{anna.data['image']}"]
    assert [call(machines.other, "GET", path).status_code for path in paths] == [200, 200, 200]

    gone = anna.call(machines.one, "DELETE", "/user/profile", json={"current_password": PASSWORD})

    assert gone.status_code == 200
    assert [call(machines.other, "GET", path).status_code for path in paths] == [404, 404, 404]
    assert profile(machines.other, cookies=anna.cookies) == 401
    assert anna.log_in(machines.other).status_code == 401


def test_of_registrations_of_one_name_on_both_at_once_one_wins_and_no_file_is_left_over(
    machines: TwoNodeCluster, store: Bucket
) -> None:
    before = store.names()
    name = f"Bob{next(numbers)}"
    gate = threading.Barrier(8)

    def register(number: int) -> requests.Response:
        fields = {**registration_fields(name), "email": f"{name}-{number}@example.com"}
        gate.wait()
        return call(machines.both[number % 2], "POST", "/user/register", data=fields, files=photo_file())

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(register, range(8)))

    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 7}
    (image,) = [answer.json()["data"]["image"] for answer in answers if answer.status_code == 201]
    assert store.names() - before == {image, image.replace(".", "_2x.")}


# --- Pictures and dogs ---


def test_a_picture_uploaded_through_one_is_served_by_the_other_and_a_replaced_one_by_neither(
    machines: TwoNodeCluster,
) -> None:
    anna = User(machines.one, files=photo_file())
    path = f"/profile_pics/{anna.data['image']}"
    here, there = (call(server, "GET", path) for server in machines.both)
    assert here.status_code == there.status_code == 200
    assert here.content == there.content
    assert here.headers["ETag"] == there.headers["ETag"]
    kept = call(machines.other, "GET", path, headers={"If-None-Match": here.headers["ETag"]})
    assert kept.status_code == 304

    replaced = anna.call(machines.other, "PUT", "/user/picture", files=photo_file())

    assert [call(server, "GET", path).status_code for server in machines.both] == [404, 404]
    path = f"/profile_pics/{replaced.json()['data']['image']}"
    assert [call(server, "GET", path).status_code for server in machines.both] == [200, 200]


def test_a_dog_changed_on_one_is_changed_on_the_other_where_an_older_state_is_refused(machines: TwoNodeCluster) -> None:
    anna = User(machines.one)
    made = anna.call(machines.one, "POST", "/api/v1/dogs", json={"name": "Rex", "breed": "Poodle"})
    path = f"/api/v1/dogs/{made.json()['data']['id']}"
    seen = {"If-Match": call(machines.other, "GET", path).headers["ETag"]}

    changed = anna.call(machines.one, "PATCH", path, json={"name": "Max"}, headers=seen)

    assert changed.status_code == 200
    assert call(machines.other, "GET", path).json()["data"]["name"] == "Max"
    for method, content in (("PATCH", {"json": {"name": "Bello"}}), ("DELETE", {})):
        assert anna.call(machines.other, method, path, headers=seen, **content).status_code == 412
    now = {"If-Match": changed.headers["ETag"]}
    assert anna.call(machines.other, "DELETE", path, headers=now).status_code == 200
    assert call(machines.one, "GET", path).status_code == 404


def test_what_a_server_answered_before_is_never_answered_after_a_write_on_the_other(machines: TwoNodeCluster) -> None:
    anna = User(machines.one)
    made = anna.call(machines.one, "POST", "/api/v1/dogs", json={"name": "Rex", "breed": "Poodle"}).json()["data"]
    path = f"/api/v1/dogs/{made['id']}"
    lists = [{"user_id": made["user_id"]}, {"mine": "true"}, {"q": anna.name}, {"owner": anna.name, "sort": "-name"}]
    etag = f'"{made["id"]}-1"'
    assert call(machines.other, "GET", path, headers={"If-None-Match": etag}).status_code == 304

    for number in range(10):
        writer, reader = (machines.one, machines.other) if number % 2 else (machines.other, machines.one)
        changed = anna.call(writer, "PATCH", path, json={"name": f"Max {number}"})
        assert changed.status_code == 200

        seen = call(reader, "GET", path, headers={"If-None-Match": etag})
        assert (seen.status_code, seen.json()["data"]) == (200, changed.json()["data"])
        for query in lists:
            found = anna.call(reader, "GET", "/api/v1/dogs", params=query).json()["data"]
            assert found == [changed.json()["data"]], query
        etag = changed.headers["ETag"]
    assert anna.call(machines.one, "DELETE", path).status_code == 200
    for query in lists:
        assert anna.call(machines.other, "GET", "/api/v1/dogs", params=query).json()["data"] == []


def test_a_page_is_followed_across_servers_by_its_cursor(machines: TwoNodeCluster) -> None:
    anna = User(machines.one)
    names = [f"Dog {number}" for number in range(7)]
    for name in names:
        anna.call(machines.one, "POST", "/api/v1/dogs", json={"name": name, "breed": "Poodle"})

    found: list[str] = []
    query = {"user_id": anna.data["id"], "limit": 2, "sort": "-name"}
    for number in range(4):
        page = call(machines.both[number % 2], "GET", "/api/v1/dogs", params=query).json()
        found += [dog["name"] for dog in page["data"]]
        query["cursor"] = page["page"]["next"]

    assert found == names[::-1]


# --- Limits ---


@pytest.fixture(params=["database", pytest.param("redis", marks=NEEDS_REDIS)])
def limited(
    request: pytest.FixtureRequest, system: None, databases: Databases, tmp_path: Path
) -> Iterator[TwoNodeCluster]:
    """Two servers with limits, counted in the database and in Redis."""
    url = databases.create()
    counted = "database://" if request.param == "database" else request.getfixturevalue("redis").url
    settings = {"DATABASE_URL": url, "UPLOADS_URL": str(tmp_path / "uploads"), "RATELIMIT_STORAGE_URI": counted}
    with TwoNodeCluster(tmp_path, **settings) as running:
        yield running
    databases.drop(url)


def test_failed_logins_and_registrations_are_counted_over_both(limited: TwoNodeCluster) -> None:
    anna = User(limited.one)
    failed = [anna.log_in(limited.both[number % 2], WRONG).status_code for number in range(10)]
    assert failed == [401] * 10
    for server in limited.both:
        refused = anna.log_in(server)
        assert refused.status_code == 429
        assert 0 < int(refused.headers["Retry-After"]) <= 300
    assert profile(limited.other, cookies=anna.cookies) == 200

    # Anna's own was the first of thirty.
    refused = [call(limited.both[number % 2], "POST", "/user/register", json={}).status_code for number in range(29)]
    assert refused == [422] * 29
    for server in limited.both:
        assert call(server, "POST", "/user/register", json={}).status_code == 429


# --- The start ---


@pytest.mark.system
def test_of_two_that_start_at_once_on_an_empty_database_one_applies_the_migrations(
    databases: Databases, tmp_path: Path
) -> None:
    url = databases.create()
    with TwoNodeCluster(tmp_path, DATABASE_URL=url, UPLOADS_URL=str(tmp_path / "uploads")) as machines:
        applied = [server.output().count("Applied ") for server in machines.both]
        assert [call(server, "GET", "/health/ready").status_code for server in machines.both] == [200, 200]

    assert min(applied) == 0
    assert max(applied) > 0
    databases.drop(url)
