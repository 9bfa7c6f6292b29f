"""Rolling restarts of two servers behind nginx under load, failover, retries, buffering and forwarded headers."""

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
from .doc_runner import parse_blocks
from .factories import api_error
from .live_server import ROOT, Server
from .nginx import NEEDS_NGINX, Nginx
from .postgres import Databases

pytestmark = [NEEDS_NGINX, pytest.mark.system]


@pytest.fixture
def url(databases: Databases) -> Iterator[str]:
    """The URL of an empty database."""
    database_url = databases.create()
    yield database_url
    databases.drop(database_url)


@pytest.fixture
def servers(url: str, tmp_path: Path) -> Iterator[TwoNodeCluster]:
    settings = {"DATABASE_URL": url, "UPLOADS_URL": str(tmp_path / "uploads"), "TRUSTED_PROXIES": "1"}
    with TwoNodeCluster(tmp_path, **settings) as running:
        yield running


@pytest.fixture
def nginx(servers: TwoNodeCluster) -> Iterator[Nginx]:
    with Nginx(*servers.both) as running:
        yield running


class Load:
    """Closed-loop clients that add dogs and read them through nginx."""

    THREADS = 6

    def __init__(self, nginx: Nginx) -> None:
        self.nginx = nginx
        registered = nginx.call("POST", "/user/register", json=registration_fields("Anna"))
        self.cookies = registered.cookies.get_dict() or pytest.fail(registered.text)
        self.statuses: Counter[tuple[str, int]] = Counter()
        self.created: list[str] = []
        self.changed = threading.Condition()
        self.done = threading.Event()

    def run(self, thread: int) -> None:
        """Add a dog, read it, add the next."""
        number = 0
        while not self.done.is_set():
            number += 1
            name = f"Dog {thread}-{number}"
            response = self.call("POST", "/api/v1/dogs", json={"name": name, "breed": "Poodle"}, cookies=self.cookies)
            if response is not None and response.status_code == 201:
                with self.changed:
                    self.created.append(name)
                self.call("GET", f"/api/v1/dogs/{response.json()['data']['id']}")

    def call(self, method: str, path: str, **content: Any) -> requests.Response | None:
        """Send a request, count its status and return Kennel's response, or count 0 and return None without one."""
        response = None
        with suppress(requests.RequestException, AssertionError):  # nginx' own errors are not documented
            response = self.nginx.call(method, path, **content)
        with self.changed:
            self.statuses[method, response.status_code if response is not None else 0] += 1
            self.changed.notify_all()
        return response

    def wait_for_requests(self, request_count: int = 40) -> None:
        """Wait until this many more requests have finished."""
        with self.changed:
            target = self.statuses.total() + request_count
            assert self.changed.wait_for(lambda: self.statuses.total() >= target, timeout=120)

    @contextmanager
    def running_load(self) -> Iterator[None]:
        """Run during the block, and for some requests before and after it."""
        with ThreadPoolExecutor(self.THREADS) as threads:
            workers = [threads.submit(self.run, thread) for thread in range(self.THREADS)]
            try:
                self.wait_for_requests()
                yield
                self.wait_for_requests()
            finally:
                self.done.set()
        for worker in workers:
            worker.result()


def count_dogs(url: str) -> Counter[str]:
    """Count the dogs in the database by name."""
    with psycopg.connect(url) as connection:
        return Counter(name for (name,) in connection.execute("SELECT name FROM dogs"))


def documented_steps() -> tuple[str, str]:
    """Return the commands of docs/high-availability.md for before and after the restart of a server."""
    before, after = (
        block.text for block in parse_blocks(ROOT / "docs" / "high-availability.md") if "10.0.0.11:8000" in block.text
    )
    return before, after


def test_rolling_restart_under_load_loses_no_request(servers: TwoNodeCluster, nginx: Nginx, url: str) -> None:
    load = Load(nginx)
    with load.running_load():
        for server, address in zip(servers.both, ("10.0.0.11", "10.0.0.12"), strict=True):
            before, after = (text.replace("10.0.0.11", address) for text in documented_steps())
            nginx.run(before)
            load.wait_for_requests()
            request_count = count_requests(server)
            load.wait_for_requests()
            assert count_requests(server) == request_count  # the drained server gets no requests
            assert server.stop() == 0
            server.start()
            nginx.run(after)
            load.wait_for_requests()
            assert count_requests(server) > request_count

    assert set(load.statuses) == {("POST", 201), ("GET", 200)}
    assert count_dogs(url) == Counter(load.created)
    assert all(count == 1 for count in count_dogs(url).values())


def count_requests(server: Server) -> int:
    """Count the requests for dogs that this server has logged."""
    return server.output().count("route=/api/v1/dogs")


# --- Unavailable servers ---


def test_requests_for_stopped_server_go_to_the_other(servers: TwoNodeCluster, nginx: Nginx, url: str) -> None:
    load = Load(nginx)
    assert servers.one.stop() == 0

    names = [f"Dog {number}" for number in range(20)]
    responses = [
        nginx.call("POST", "/api/v1/dogs", json={"name": name, "breed": "Poodle"}, cookies=load.cookies)
        for name in names
    ]

    assert {response.status_code for response in responses} == {201}
    assert count_dogs(url) == Counter(names)
    assert "Connection refused" in nginx.read_log()


class FaultyServer:
    """A server that reads a request and closes the connection without a response."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]

    def drop_request(self) -> str:
        """Accept a connection, read a request, close the connection and return the request's method."""
        connection, _ = self.socket.accept()
        with connection:
            return connection.recv(65536).decode().split()[0]


@pytest.fixture
def faulty_server() -> Iterator[FaultyServer]:
    server = FaultyServer()
    yield server
    server.socket.close()


@pytest.mark.parametrize(
    ("method", "request_count"), [("POST", 1), ("PATCH", 1), ("GET", 2), ("PUT", 2), ("DELETE", 2)]
)
def test_only_idempotent_requests_are_retried(faulty_server: FaultyServer, method: str, request_count: int) -> None:
    with Nginx(faulty_server, faulty_server) as nginx, ThreadPoolExecutor(1) as threads:
        # A raw socket, because `requests` checks responses against the OpenAPI document, which omits nginx' errors.
        status = threads.submit(get_status, nginx, f"{method} /api/v1/dogs HTTP/1.1\r\nContent-Length: 0\r\n")
        methods = [faulty_server.drop_request() for _ in range(request_count)]

        assert status.result() == 502
        assert methods == [method] * request_count
        faulty_server.socket.settimeout(0)
        with pytest.raises(BlockingIOError):
            faulty_server.socket.accept()


def test_nginx_buffers_slow_request_bodies(faulty_server: FaultyServer) -> None:
    body = b'{"username": "Anna", "password": "correct horse"}'
    with (
        Nginx(faulty_server, faulty_server) as nginx,
        ThreadPoolExecutor(1) as threads,
        tls_connection(nginx) as slow_client,
    ):
        head = f"POST /user/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        slow_client.sendall(head.encode() + body[:10])
        # The first request to arrive is the later one, which is complete.
        status = threads.submit(get_status, nginx, "PATCH /api/v1/dogs/1 HTTP/1.1\r\nContent-Length: 0\r\n")
        assert faulty_server.drop_request() == "PATCH"
        assert status.result() == 502

        slow_client.sendall(body[10:])
        assert faulty_server.drop_request() == "POST"


@contextmanager
def tls_connection(nginx: Nginx) -> Iterator[ssl.SSLSocket]:
    """A TLS connection to nginx."""
    context = ssl.create_default_context(cafile=nginx.certificate)
    with (
        socket.create_connection(("127.0.0.1", nginx.port), timeout=60) as tcp_connection,
        context.wrap_socket(tcp_connection, server_hostname="localhost") as connection,
    ):
        yield connection


def get_status(nginx: Nginx, head: str) -> int:
    """Send a request over a raw TLS connection and return the response status."""
    with tls_connection(nginx) as connection:
        connection.sendall(f"{head}Host: localhost\r\nConnection: close\r\n\r\n".encode())
        return int(connection.recv(65536).split()[1])


# --- Proxy headers, limits and redirects ---


def test_forged_x_forwarded_for_does_not_evade_rate_limit(nginx: Nginx) -> None:
    statuses = [
        nginx.call("POST", "/user/register", json={}, headers={"X-Forwarded-For": f"203.0.113.{number}"}).status_code
        for number in range(31)
    ]

    assert statuses == [422] * 30 + [429]


def test_oversized_file_is_rejected_by_api_not_nginx(nginx: Nginx) -> None:
    file = {"file": ("me.jpg", b"x" * (MAX_UPLOAD_BYTES + MAX_BODY_BYTES + 1))}

    response = nginx.call("POST", "/user/register", data=registration_fields("Anna"), files=file)

    assert api_error(response) == (413, "too-large")


def test_http_redirects_to_https_with_308(nginx: Nginx) -> None:
    with requests.Session() as session:
        response = session.get_adapter("http://").send(
            requests.Request("POST", f"{nginx.http_url}/user/login").prepare(), timeout=60
        )

    assert response.status_code == 308
    assert response.headers["Location"] == "https://localhost/user/login"
