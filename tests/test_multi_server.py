"""Two servers that share PostgreSQL and an S3 store: sessions, pictures, ETags, rate limits and migrations."""

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

# Suffixes of usernames, which keep tests apart on the shared servers.
user_numbers = count(1)
WRONG_PASSWORD = "not this one"


@pytest.fixture(scope="module")
def store(s3: S3) -> Bucket:
    """The bucket in which both servers store pictures."""
    return s3.make_bucket()


@pytest.fixture(scope="module")
def cluster(
    system: None, databases: Databases, store: Bucket, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TwoNodeCluster]:
    """Two servers that share only a database and a bucket."""
    url = databases.create()
    folder = tmp_path_factory.mktemp("cluster")
    shared = {"DATABASE_URL": url, "UPLOADS_URL": store.url, **store.s3.environment}
    with TwoNodeCluster(folder, RATELIMIT_ENABLED="false", **shared) as running:
        yield running
    databases.drop(url)


class User:
    """A user who registers on one server and can call any."""

    def __init__(self, server: Server, name: str = "Anna", **content: Any) -> None:
        self.name = f"{name}{next(user_numbers)}"
        response = call(server, "POST", "/user/register", data=registration_fields(self.name), **content)
        assert response.status_code == 201, response.text
        self.data = response.json()["data"]
        self.cookies = response.cookies.get_dict()

    def call(self, server: Server, method: str, path: str, **content: Any) -> requests.Response:
        """Send a request to a server with this user's session."""
        return call(server, method, path, cookies=self.cookies, **content)

    def log_in(self, server: Server, password: str = PASSWORD) -> requests.Response:
        """Start another session."""
        return call(server, "POST", "/user/login", json={"username": self.name, "password": password})


def read_bearer_token(login: requests.Response) -> str:
    """Return the session key of a login, which its cookie contains in signed form, as bearer token."""
    payload = login.cookies["kennel_session"].split(".")[0]
    return json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["_user_id"]


def get_profile_status(server: Server, **credentials: Any) -> int:
    """Return the status of the profile with these cookies or headers: the same in 20 calls, to reach all processes."""
    (status,) = {call(server, "GET", "/user/profile", **credentials).status_code for _ in range(20)}
    return status


# --- Sessions and accounts ---


def test_session_is_valid_and_ends_on_both_servers(cluster: TwoNodeCluster) -> None:
    anna = User(cluster.one)
    assert get_profile_status(cluster.other, cookies=anna.cookies) == 200

    assert anna.call(cluster.other, "POST", "/user/logout").status_code == 200

    assert [get_profile_status(server, cookies=anna.cookies) for server in cluster.both] == [401, 401]


def test_password_change_ends_other_sessions_on_both_servers(cluster: TwoNodeCluster) -> None:
    anna = User(cluster.one)
    second_login = anna.log_in(cluster.other)
    change = {"current_password": PASSWORD, "new_password": "another horse"}
    bearer = {"Authorization": f"Bearer {read_bearer_token(second_login)}"}
    assert get_profile_status(cluster.other, headers=bearer) == 200

    changed = anna.call(cluster.one, "PUT", "/user/password", json=change)
    assert changed.status_code == 200

    assert get_profile_status(cluster.other, headers=bearer) == 401
    assert get_profile_status(cluster.other, cookies=second_login.cookies.get_dict()) == 401
    assert get_profile_status(cluster.other, cookies=anna.cookies) == 401
    assert get_profile_status(cluster.other, cookies=changed.cookies.get_dict()) == 200
    assert anna.log_in(cluster.other).status_code == 401
    assert anna.log_in(cluster.other, "another horse").status_code == 200


def test_deleted_account_is_gone_on_both_servers(cluster: TwoNodeCluster) -> None:
    anna = User(cluster.one, files=photo_file())
    dog = anna.call(cluster.one, "POST", "/api/v1/dogs", json={"name": "Rex", "breed": "Poodle"}).json()["data"]
    paths = [f"/user/{anna.data['id']}", f"/api/v1/dogs/{dog['id']}", f"/profile_pics/{anna.data['image']}"]
    assert [call(cluster.other, "GET", path).status_code for path in paths] == [200, 200, 200]

    deleted = anna.call(cluster.one, "DELETE", "/user/profile", json={"current_password": PASSWORD})

    assert deleted.status_code == 200
    assert [call(cluster.other, "GET", path).status_code for path in paths] == [404, 404, 404]
    assert get_profile_status(cluster.other, cookies=anna.cookies) == 401
    assert anna.log_in(cluster.other).status_code == 401


def test_concurrent_duplicate_registration(cluster: TwoNodeCluster, store: Bucket) -> None:
    before = store.names()
    name = f"Bob{next(user_numbers)}"
    barrier = threading.Barrier(8)

    def register(number: int) -> requests.Response:
        fields = {**registration_fields(name), "email": f"{name}-{number}@example.com"}
        barrier.wait()
        return call(cluster.both[number % 2], "POST", "/user/register", data=fields, files=photo_file())

    with ThreadPoolExecutor(8) as threads:
        responses = list(threads.map(register, range(8)))

    assert Counter(response.status_code for response in responses) == {201: 1, 409: 7}
    (image,) = [response.json()["data"]["image"] for response in responses if response.status_code == 201]
    assert store.names() - before == {image, image.replace(".", "_2x.")}


# --- Pictures and dogs ---


def test_picture_upload_and_replacement_on_both_servers(
    cluster: TwoNodeCluster,
) -> None:
    anna = User(cluster.one, files=photo_file())
    path = f"/profile_pics/{anna.data['image']}"
    first, second = (call(server, "GET", path) for server in cluster.both)
    assert first.status_code == second.status_code == 200
    assert first.content == second.content
    assert first.headers["ETag"] == second.headers["ETag"]
    cached = call(cluster.other, "GET", path, headers={"If-None-Match": first.headers["ETag"]})
    assert cached.status_code == 304

    replaced = anna.call(cluster.other, "PUT", "/user/picture", files=photo_file())

    assert [call(server, "GET", path).status_code for server in cluster.both] == [404, 404]
    path = f"/profile_pics/{replaced.json()['data']['image']}"
    assert [call(server, "GET", path).status_code for server in cluster.both] == [200, 200]


def test_stale_if_match_returns_412_on_other_server(cluster: TwoNodeCluster) -> None:
    anna = User(cluster.one)
    created = anna.call(cluster.one, "POST", "/api/v1/dogs", json={"name": "Rex", "breed": "Poodle"})
    path = f"/api/v1/dogs/{created.json()['data']['id']}"
    if_match = {"If-Match": call(cluster.other, "GET", path).headers["ETag"]}

    updated = anna.call(cluster.one, "PATCH", path, json={"name": "Max"}, headers=if_match)

    assert updated.status_code == 200
    assert call(cluster.other, "GET", path).json()["data"]["name"] == "Max"
    for method, content in (("PATCH", {"json": {"name": "Bello"}}), ("DELETE", {})):
        assert anna.call(cluster.other, method, path, headers=if_match, **content).status_code == 412
    if_match = {"If-Match": updated.headers["ETag"]}
    assert anna.call(cluster.other, "DELETE", path, headers=if_match).status_code == 200
    assert call(cluster.one, "GET", path).status_code == 404


def test_reads_after_write_on_other_server_are_fresh(cluster: TwoNodeCluster) -> None:
    anna = User(cluster.one)
    created = anna.call(cluster.one, "POST", "/api/v1/dogs", json={"name": "Rex", "breed": "Poodle"}).json()["data"]
    path = f"/api/v1/dogs/{created['id']}"
    lists = [{"user_id": created["user_id"]}, {"mine": "true"}, {"q": anna.name}, {"owner": anna.name, "sort": "-name"}]
    etag = f'"{created["id"]}-1"'
    assert call(cluster.other, "GET", path, headers={"If-None-Match": etag}).status_code == 304

    for number in range(10):
        writer, reader = (cluster.one, cluster.other) if number % 2 else (cluster.other, cluster.one)
        updated = anna.call(writer, "PATCH", path, json={"name": f"Max {number}"})
        assert updated.status_code == 200

        read = call(reader, "GET", path, headers={"If-None-Match": etag})
        assert (read.status_code, read.json()["data"]) == (200, updated.json()["data"])
        for query in lists:
            found = anna.call(reader, "GET", "/api/v1/dogs", params=query).json()["data"]
            assert found == [updated.json()["data"]], query
        etag = updated.headers["ETag"]
    assert anna.call(cluster.one, "DELETE", path).status_code == 200
    for query in lists:
        assert anna.call(cluster.other, "GET", "/api/v1/dogs", params=query).json()["data"] == []


def test_cursor_is_valid_on_other_server(cluster: TwoNodeCluster) -> None:
    anna = User(cluster.one)
    names = [f"Dog {number}" for number in range(7)]
    for name in names:
        anna.call(cluster.one, "POST", "/api/v1/dogs", json={"name": name, "breed": "Poodle"})

    found: list[str] = []
    query = {"user_id": anna.data["id"], "limit": 2, "sort": "-name"}
    for number in range(4):
        page = call(cluster.both[number % 2], "GET", "/api/v1/dogs", params=query).json()
        found += [dog["name"] for dog in page["data"]]
        query["cursor"] = page["page"]["next"]

    assert found == names[::-1]


# --- Rate limits ---


@pytest.fixture(params=["database", pytest.param("redis", marks=NEEDS_REDIS)])
def rate_limited_cluster(
    request: pytest.FixtureRequest, system: None, databases: Databases, tmp_path: Path
) -> Iterator[TwoNodeCluster]:
    """Two servers with rate limits, which are counted in the database or in Redis."""
    url = databases.create()
    storage = "database://" if request.param == "database" else request.getfixturevalue("redis").url
    settings = {"DATABASE_URL": url, "UPLOADS_URL": str(tmp_path / "uploads"), "RATELIMIT_STORAGE_URI": storage}
    with TwoNodeCluster(tmp_path, **settings) as running:
        yield running
    databases.drop(url)


def test_rate_limits_hold_across_servers(rate_limited_cluster: TwoNodeCluster) -> None:
    anna = User(rate_limited_cluster.one)
    statuses = [anna.log_in(rate_limited_cluster.both[number % 2], WRONG_PASSWORD).status_code for number in range(10)]
    assert statuses == [401] * 10
    for server in rate_limited_cluster.both:
        response = anna.log_in(server)
        assert response.status_code == 429
        assert 0 < int(response.headers["Retry-After"]) <= 300
    assert get_profile_status(rate_limited_cluster.other, cookies=anna.cookies) == 200

    # Anna's registration was the first of 30.
    statuses = [
        call(rate_limited_cluster.both[number % 2], "POST", "/user/register", json={}).status_code
        for number in range(29)
    ]
    assert statuses == [422] * 29
    for server in rate_limited_cluster.both:
        assert call(server, "POST", "/user/register", json={}).status_code == 429


# --- Startup ---


@pytest.mark.system
def test_concurrent_start_applies_migrations_once(databases: Databases, tmp_path: Path) -> None:
    url = databases.create()
    with TwoNodeCluster(tmp_path, DATABASE_URL=url, UPLOADS_URL=str(tmp_path / "uploads")) as cluster:
        applied = [server.output().count("Applied ") for server in cluster.both]
        assert [call(server, "GET", "/health/ready").status_code for server in cluster.both] == [200, 200]

    assert min(applied) == 0
    assert max(applied) > 0
    databases.drop(url)
