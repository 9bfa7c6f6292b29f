"""Connections: a request refused before its body was read leaves its connection usable, or announces its end."""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Iterator
from http.client import HTTPResponse

import pytest
import requests
from flask.testing import FlaskClient

from api.http.body import MAX_BODY_BYTES, MAX_UPLOAD_BYTES
from api.http.concurrency import limiters

from .factories import saturate
from .live_server import Server

JSON = "Content-Type: application/json"
# The request line, headers and size of the body of requests that are refused without reading it.
REFUSED = {
    401: ("PUT /api/v1/dogs/1", JSON, 1000),
    403: ("POST /user/login", "Origin: https://other.test", 1000),
    404: ("POST /api/v1/cats", JSON, 1000),
    405: ("PATCH /user/register", JSON, 1000),
    413: ("POST /user/login", JSON, MAX_BODY_BYTES + 1),
    415: ("POST /user/login", "Content-Type: text/css", 1000),
}
UPLOAD = ("PUT /user/picture", "Content-Type: multipart/form-data; boundary=limit", 3_000_000)


@pytest.fixture(scope="module")
def server(system: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real server shared by these tests, which store nothing."""
    with Server(tmp_path_factory.mktemp("connections") / "server") as server:
        yield server


@pytest.fixture
def connection(server: Server) -> Iterator[socket.socket]:
    """A TCP connection to the server."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        yield connection


def send_head(connection: socket.socket, line: str, *headers: str) -> None:
    """Send the request line and the headers of a request."""
    connection.sendall("\r\n".join([f"{line} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode())


def receive(connection: socket.socket) -> HTTPResponse:
    """Receive a response and its body."""
    response = HTTPResponse(connection)
    response.begin()
    response.read()
    return response


@pytest.mark.parametrize(
    ("line", "header", "size"),
    [*REFUSED.values(), UPLOAD],
    ids=[*map(str, REFUSED), "an upload"],
)
def test_refused_request_with_late_body_keeps_the_connection(
    connection: socket.socket, line: str, header: str, size: int
) -> None:
    for _ in range(10):
        send_head(connection, line, header, f"Content-Length: {size}")
        time.sleep(0.01)  # the body follows its head on a real network
        connection.sendall(b"x" * size)
        assert receive(connection).status >= 400

        send_head(connection, "GET /health/live")
        assert receive(connection).status == 200


def test_refused_chunked_request_keeps_the_connection(connection: socket.socket) -> None:
    for _ in range(10):
        send_head(connection, "POST /user/login", "Content-Type: text/css", "Transfer-Encoding: chunked")
        time.sleep(0.01)
        connection.sendall(b"5\r\nhello\r\n0\r\n\r\n")
        assert receive(connection).status == 415

        send_head(connection, "GET /health/live")
        assert receive(connection).status == 200


def test_requests_session_survives_refusals(server: Server) -> None:
    with requests.Session() as session:
        for _ in range(50):
            assert session.post(f"{server.url}/api/v1/dogs", json={"name": "x" * 5000}, timeout=60).status_code == 401
            assert session.get(f"{server.url}/health/live", timeout=60).status_code == 200


def test_client_that_waits_for_100_continue_is_refused_at_once(connection: socket.socket) -> None:
    send_head(connection, UPLOAD[0], UPLOAD[1], f"Content-Length: {UPLOAD[2]}", "Expect: 100-continue")

    response = receive(connection)

    assert (response.status, response.headers["Connection"]) == (401, "close")


def test_body_over_the_limit_of_uploads_announces_the_end(connection: socket.socket) -> None:
    send_head(connection, UPLOAD[0], UPLOAD[1], f"Content-Length: {MAX_UPLOAD_BYTES + MAX_BODY_BYTES + 1}")

    response = receive(connection)

    assert (response.status, response.headers["Connection"]) == (401, "close")


def test_unread_body_announces_the_end_if_too_many_bodies_are_read(client: FlaskClient) -> None:
    with saturate(limiters.get(client.application).bodies):
        response = client.post("/api/v1/dogs", json={"name": "Rex"})

    assert (response.status_code, response.headers["Connection"]) == (401, "close")


def test_unread_body_is_read_to_its_end(client: FlaskClient) -> None:
    stream = io.BytesIO(b"x" * 100_000)

    response = client.post("/api/v1/cats", input_stream=stream, content_length=100_000)

    assert response.status_code == 404
    assert "Connection" not in response.headers
    assert stream.tell() == 100_000


def test_request_without_body_never_announces_the_end(client: FlaskClient) -> None:
    for method, path in (("GET", "/api/v1/dogs"), ("POST", "/user/logout"), ("DELETE", "/user/profile")):
        assert "Connection" not in client.open(path, method=method).headers
