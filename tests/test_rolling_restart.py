"""Two servers behind nginx: a restart of each in turn under load, and what nginx does when one is not there."""

from __future__ import annotations

import socket
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests

from api.http.body import MAX_BODY_BYTES, MAX_UPLOAD_BYTES

from .cluster import TwoNodeCluster, registration_fields
from .doc_runner import blocks_of
from .factories import api_error
from .live_server import ROOT, Server
from .nginx import NEEDS_NGINX, Nginx
from .postgres import Databases

pytestmark = [NEEDS_NGINX, pytest.mark.system]


@pytest.fixture
def url(databases: Databases) -> Iterator[str]:
    """An empty database."""
    made = databases.create()
    yield made
    databases.drop(made)


@pytest.fixture
def machines(url: str, tmp_path: Path) -> Iterator[TwoNodeCluster]:
    settings = {"DATABASE_URL": url, "UPLOADS_URL": str(tmp_path / "uploads"), "TRUSTED_PROXIES": "1"}
    with TwoNodeCluster(tmp_path, **settings) as running:
        yield running


@pytest.fixture
def nginx(machines: TwoNodeCluster) -> Iterator[Nginx]:
    with Nginx(*machines.both) as running:
        yield running


class Load:
    """Threads that add dogs and read them through nginx, each call as soon as the last is answered."""

    THREADS = 6

    def __init__(self, nginx: Nginx) -> None:
        self.nginx = nginx
        registered = nginx.call("POST", "/user/register", json=registration_fields("Anna"))
        self.cookies = registered.cookies.get_dict() or pytest.fail(registered.text)
        self.answers: Counter[tuple[str, int]] = Counter()
        self.added: list[str] = []
        self.news = threading.Condition()
        self.ended = threading.Event()

    def run(self, thread: int) -> None:
        """Add a dog, read it, add the next."""
        number = 0
        while not self.ended.is_set():
            number += 1
            name = f"Dog {thread}-{number}"
            added = self.call("POST", "/api/v1/dogs", json={"name": name, "breed": "Poodle"}, cookies=self.cookies)
            if added is not None and added.status_code == 201:
                with self.news:
                    self.added.append(name)
                self.call("GET", f"/api/v1/dogs/{added.json()['data']['id']}")

    def call(self, method: str, path: str, **content: Any) -> requests.Response | None:
        """The answer of Kennel to a call, counted by its status; None where there is none, counted as 0."""
        answer = None
        with suppress(requests.RequestException, AssertionError):  # what nginx answers itself is not in the document
            answer = self.nginx.call(method, path, **content)
        with self.news:
            self.answers[method, answer.status_code if answer is not None else 0] += 1
            self.news.notify_all()
        return answer

    def go_on(self, calls: int = 40) -> None:
        """Wait until so many more calls are over."""
        with self.news:
            enough = self.answers.total() + calls
            assert self.news.wait_for(lambda: self.answers.total() >= enough, timeout=120)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Have it run for the block, and for some calls before and after."""
        with ThreadPoolExecutor(self.THREADS) as threads:
            ran = [threads.submit(self.run, thread) for thread in range(self.THREADS)]
            try:
                self.go_on()
                yield
                self.go_on()
            finally:
                self.ended.set()
        for each in ran:
            each.result()


def kept(url: str) -> Counter[str]:
    """How often each dog is in the database."""
    with psycopg.connect(url) as connection:
        return Counter(name for (name,) in connection.execute("SELECT name FROM dogs"))


def steps() -> tuple[str, str]:
    """What the page on many machines says to do before and after the restart of a server."""
    before, after = (
        block.text for block in blocks_of(ROOT / "docs" / "high-availability.md") if "10.0.0.11:8000" in block.text
    )
    return before, after


def test_a_rolling_restart_under_load_loses_no_request(machines: TwoNodeCluster, nginx: Nginx, url: str) -> None:
    load = Load(nginx)
    with load.running():
        for server, address in zip(machines.both, ("10.0.0.11", "10.0.0.12"), strict=True):
            before, after = (text.replace("10.0.0.11", address) for text in steps())
            nginx.run(before)
            load.go_on()
            calls = calls_of(server)
            load.go_on()
            assert calls_of(server) == calls  # nobody is sent to it any more
            assert server.stop() == 0
            server.start()
            nginx.run(after)
            load.go_on()
            assert calls_of(server) > calls

    assert set(load.answers) == {("POST", 201), ("GET", 200)}
    assert kept(url) == Counter(load.added)
    assert all(count == 1 for count in kept(url).values())


def calls_of(server: Server) -> int:
    """How many calls of the load this server has answered."""
    return server.output().count("route=/api/v1/dogs")


# --- A server that is not there ---


def test_what_a_stopped_server_can_not_take_goes_to_the_other(machines: TwoNodeCluster, nginx: Nginx, url: str) -> None:
    load = Load(nginx)
    assert machines.one.stop() == 0

    names = [f"Dog {number}" for number in range(20)]
    added = [
        nginx.call("POST", "/api/v1/dogs", json={"name": name, "breed": "Poodle"}, cookies=load.cookies)
        for name in names
    ]

    assert {answer.status_code for answer in added} == {201}
    assert kept(url) == Counter(names)
    assert "Connection refused" in nginx.read_log()


class Broken:
    """A server that takes calls and loses them: it reads each and closes the connection without an answer."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]

    def lose(self) -> str:
        """Take one call, lose it, and return its method."""
        connection, _ = self.socket.accept()
        with connection:
            return connection.recv(65536).decode().split()[0]


@pytest.fixture
def broken() -> Iterator[Broken]:
    made = Broken()
    yield made
    made.socket.close()


@pytest.mark.parametrize(("method", "calls"), [("POST", 1), ("PATCH", 1), ("GET", 2), ("PUT", 2), ("DELETE", 2)])
def test_a_call_that_was_sent_is_sent_again_only_where_http_says_that_twice_is_as_once(
    broken: Broken, method: str, calls: int
) -> None:
    with Nginx(broken, broken) as nginx, ThreadPoolExecutor(1) as threads:
        # By hand: what nginx answers itself is not in the document that answers are checked against.
        ended = threads.submit(status_of, nginx, f"{method} /api/v1/dogs HTTP/1.1\r\nContent-Length: 0\r\n")
        lost = [broken.lose() for _ in range(calls)]

        assert ended.result() == 502
        assert lost == [method] * calls
        broken.socket.settimeout(0)
        with pytest.raises(BlockingIOError):
            broken.socket.accept()


def test_a_slow_client_holds_no_server(broken: Broken) -> None:
    body = b'{"username": "Anna", "password": "correct horse"}'
    with Nginx(broken, broken) as nginx, ThreadPoolExecutor(1) as threads, connected(nginx) as slow:
        head = f"POST /user/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        slow.sendall(head.encode() + body[:10])
        # The first call that comes is a later one, which was sent whole.
        ended = threads.submit(status_of, nginx, "PATCH /api/v1/dogs/1 HTTP/1.1\r\nContent-Length: 0\r\n")
        assert broken.lose() == "PATCH"
        assert ended.result() == 502

        slow.sendall(body[10:])
        assert broken.lose() == "POST"


@contextmanager
def connected(nginx: Nginx) -> Iterator[ssl.SSLSocket]:
    """A connection to nginx."""
    context = ssl.create_default_context(cafile=nginx.certificate)
    with (
        socket.create_connection(("127.0.0.1", nginx.port), timeout=60) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        yield connection


def status_of(nginx: Nginx, head: str) -> int:
    """The status that a call by hand is answered with."""
    with connected(nginx) as connection:
        connection.sendall(f"{head}Host: localhost\r\nConnection: close\r\n\r\n".encode())
        return int(connection.recv(65536).split()[1])


# --- What nginx tells and what it lets through ---


def test_users_are_told_apart_behind_nginx_and_none_can_claim_to_be_another(nginx: Nginx) -> None:
    statuses = [
        nginx.call("POST", "/user/register", json={}, headers={"X-Forwarded-For": f"203.0.113.{number}"}).status_code
        for number in range(31)
    ]

    assert statuses == [422] * 30 + [429]


def test_a_file_that_is_too_large_is_refused_by_the_api_and_not_by_nginx(nginx: Nginx) -> None:
    file = {"file": ("me.jpg", b"x" * (MAX_UPLOAD_BYTES + MAX_BODY_BYTES + 1))}

    refused = nginx.call("POST", "/user/register", data=registration_fields("Anna"), files=file)

    assert api_error(refused) == (413, "too-large")


def test_plain_http_is_sent_to_https_with_its_method(nginx: Nginx) -> None:
    with requests.Session() as session:
        answer = session.get_adapter("http://").send(
            requests.Request("POST", f"{nginx.http_url}/user/login").prepare(), timeout=60
        )

    assert answer.status_code == 308
    assert answer.headers["Location"] == "https://localhost/user/login"
