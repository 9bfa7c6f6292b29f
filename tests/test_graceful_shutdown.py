"""A stop under load: every request that was sent gets a whole answer, and what was answered has happened."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import requests

from .engines import BOTH_ENGINES
from .factories import PASSWORD
from .live_server import Server

PROMISED_SECONDS = 10
ANNA = {"username": "Anna", "email": "anna@example.com", "password": PASSWORD}
CLIENTS = 8


class Load:
    """Clients that send one request after another until the server refuses their connections.

    Half of them keep their connection while the server does, the others make one for each request; and of either, half
    read and half write. Any answer but a whole one is raised.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        session = requests.Session()
        session.post(f"{server.url}/user/register", json=ANNA, timeout=60)
        self.writer = {"Content-Type": "application/json", "Cookie": f"session={session.cookies['session']}"}
        self.added: dict[int, str] = {}
        self.answers = 0
        self.lock = threading.Lock()
        self.under_way = threading.Event()

    def run(self, number: int) -> None:
        """Be client number so and so."""
        connection: http.client.HTTPConnection | None = None
        while True:
            if connection is None:
                connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
                try:
                    connection.connect()
                except ConnectionRefusedError:
                    return
            answer = self.ask(connection, writes=bool(number % 2))
            if answer.will_close or number % 4 > 1:
                connection.close()
                connection = None

    def ask(self, connection: http.client.HTTPConnection, writes: bool) -> http.client.HTTPResponse:
        """Send one request, and read the whole answer."""
        if writes:
            dog = json.dumps({"name": f"Dog {time.monotonic_ns()}", "breed": "Beagle"})
            connection.request("POST", "/api/v1/dogs", dog, self.writer)
        else:
            connection.request("GET", "/api/v1/dogs?limit=20")
        answer = connection.getresponse()
        body = json.loads(answer.read())
        assert body["status"]["code"] == answer.status == (201 if writes else 200)
        with self.lock:
            self.answers += 1
            if writes:
                self.added[body["data"]["id"]] = body["data"]["name"]
            if self.answers > 200 and self.added:
                self.under_way.set()
        return answer


def dogs_of(server: Server) -> dict[int, str]:
    """All dogs, by their ids."""
    url, found = f"{server.url}/api/v1/dogs?limit=100", {}
    while url:
        page = requests.get(url, timeout=60)
        found |= {dog["id"]: dog["name"] for dog in page.json()["data"]}
        url = page.links["next"]["url"].replace("localhost", "127.0.0.1") if page.links else ""
    return found


@BOTH_ENGINES
def test_a_stop_under_load_loses_no_request_and_no_write(server: Server) -> None:
    load = Load(server)
    with ThreadPoolExecutor(CLIENTS) as threads:
        clients = [threads.submit(load.run, number) for number in range(CLIENTS)]
        assert load.under_way.wait(timeout=60)

        started = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - started < PROMISED_SECONDS

        for client in clients:
            client.result()
    server.start()
    assert load.added.items() <= dogs_of(server).items()


def test_a_request_that_never_ends_does_not_keep_a_stop_waiting(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(b"POST /user/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        assert requests.get(f"{server.url}/health/live", timeout=60).ok  # it was taken before this one

        started = time.monotonic()
        server.stop()
        assert time.monotonic() - started < PROMISED_SECONDS


def test_answers_ask_to_close_the_connection_once_the_server_stops(server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    headers = []
    assert server.process

    for step in (lambda: None, lambda: server.process.send_signal(signal.SIGTERM)):
        step()
        while True:
            connection.request("GET", "/health/live")
            answer = connection.getresponse()
            answer.read()
            headers.append(answer.headers.get("Connection"))
            if len(headers) == 1 or headers[-1]:
                break

    assert (headers[0], headers[-1]) == (None, "close")
    assert server.process.wait(timeout=PROMISED_SECONDS) == 0
