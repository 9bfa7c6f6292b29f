"""Graceful shutdown: in-flight requests finish, acknowledged writes are durable, stuck requests are cut off."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import requests

from .engines import BOTH_ENGINES
from .factories import PASSWORD
from .live_server import Server

MAX_SHUTDOWN_SECONDS = 10
ANNA = {"username": "Anna", "email": "anna@example.com", "password": PASSWORD}
CLIENTS = 8


class Load:
    """Closed-loop clients that run until the server refuses connections.

    Half of them keep connections alive, the others open one per request; half of each read, the others write. An
    incomplete or unexpected response raises.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        session = requests.Session()
        session.post(f"{server.url}/user/register", json=ANNA, timeout=60)
        self.writer = {
            "Content-Type": "application/json",
            "Cookie": f"kennel_session={session.cookies['kennel_session']}",
        }
        self.created: dict[int, str] = {}
        self.responses = 0
        self.lock = threading.Lock()
        self.started = threading.Event()

    def run(self, number: int) -> None:
        """Run one client. Its number decides whether it writes and whether it keeps its connection alive."""
        connection: http.client.HTTPConnection | None = None
        while True:
            if connection is None:
                connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
                try:
                    connection.connect()
                except ConnectionRefusedError:
                    return
            response = self.send(connection, is_write=bool(number % 2))
            if response.will_close or number % 4 > 1:
                connection.close()
                connection = None

    def send(self, connection: http.client.HTTPConnection, is_write: bool) -> http.client.HTTPResponse:
        """Send one request and read the complete response."""
        if is_write:
            dog = json.dumps({"name": f"Dog {time.monotonic_ns()}", "breed": "Beagle"})
            connection.request("POST", "/api/v1/dogs", dog, self.writer)
        else:
            connection.request("GET", "/api/v1/dogs?limit=20")
        response = connection.getresponse()
        body = json.loads(response.read())
        assert body["status"]["code"] == response.status == (201 if is_write else 200)
        with self.lock:
            self.responses += 1
            if is_write:
                self.created[body["data"]["id"]] = body["data"]["name"]
            if self.responses > 200 and self.created:
                self.started.set()
        return response


def list_all_dogs(server: Server) -> dict[int, str]:
    """Return the names of all dogs by id, following every page."""
    url, dogs = f"{server.url}/api/v1/dogs?limit=100", {}
    while url:
        page = requests.get(url, timeout=60)
        dogs |= {dog["id"]: dog["name"] for dog in page.json()["data"]}
        url = page.links["next"]["url"].replace("localhost", "127.0.0.1") if page.links else ""
    return dogs


@BOTH_ENGINES
def test_shutdown_under_load_drops_nothing(server: Server) -> None:
    load = Load(server)
    with ThreadPoolExecutor(CLIENTS) as threads:
        clients = [threads.submit(load.run, number) for number in range(CLIENTS)]
        assert load.started.wait(timeout=60)

        started = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - started < MAX_SHUTDOWN_SECONDS

        for client in clients:
            client.result()
    server.start()
    assert load.created.items() <= list_all_dogs(server).items()


def test_shutdown_times_out_stuck_requests(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(b"POST /user/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        assert requests.get(f"{server.url}/health/live", timeout=60).ok  # accepted after the stuck one

        started = time.monotonic()
        server.stop()
        assert time.monotonic() - started < MAX_SHUTDOWN_SECONDS


def get(connection: http.client.HTTPConnection, path: str) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Send a GET request, and return the status, headers and body of the response."""
    connection.request("GET", path)
    response = connection.getresponse()
    return response.status, response.headers, response.read()


def test_draining_server_sends_connection_close(server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    assert get(connection, "/health/live")[1]["Connection"] is None
    assert server.process

    server.process.send_signal(signal.SIGTERM)
    while get(connection, "/health/live")[1]["Connection"] != "close":
        pass

    assert server.process.wait(timeout=MAX_SHUTDOWN_SECONDS) == 0


def test_draining_server_is_not_ready(make_server: Callable[..., Server]) -> None:
    server = make_server(WEB_CONCURRENCY="1").start()
    first, second = (http.client.HTTPConnection("127.0.0.1", server.port, timeout=60) for _ in range(2))
    assert [get(connection, "/health/ready")[0] for connection in (first, second)] == [200, 200]
    assert server.process

    server.process.send_signal(signal.SIGTERM)
    while get(first, "/health/live")[1]["Connection"] != "close":
        pass
    status, headers, body = get(second, "/health/ready")

    assert (status, headers["Connection"], headers["Retry-After"]) == (503, "close", "1")
    assert json.loads(body)["error"]["fields"] == {"server": ["The server is shutting down"]}
    assert server.process.wait(timeout=MAX_SHUTDOWN_SECONDS) == 0
