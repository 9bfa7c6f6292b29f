"""Two servers behind nginx: a restart of each in turn under load, and what nginx does when one is not there."""

from __future__ import annotations

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

from .machines import Machines, call, fields_of
from .nginx import NEEDS_NGINX, Nginx
from .postgres import Databases
from .server import Server

pytestmark = NEEDS_NGINX


@pytest.fixture
def url(databases: Databases) -> Iterator[str]:
    """An empty database."""
    made = databases.create()
    yield made
    databases.drop(made)


@pytest.fixture
def machines(url: str, tmp_path: Path) -> Iterator[Machines]:
    settings = {"DATABASE_URL": url, "UPLOADS_URL": str(tmp_path / "uploads"), "TRUSTED_PROXIES": "1"}
    with Machines(tmp_path, **settings) as running:
        yield running


@pytest.fixture
def nginx(machines: Machines) -> Iterator[Nginx]:
    with Nginx(*machines.both) as running:
        yield running


class Load:
    """Threads that add dogs and read them through nginx, each call as soon as the last is answered."""

    THREADS = 6

    def __init__(self, nginx: Nginx) -> None:
        self.nginx = nginx
        registered = nginx.call("POST", "/user/register", json=fields_of("Anna"))
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
        """The answer to a call, counted by its status; None where there is none, counted as 0."""
        answer = None
        with suppress(requests.RequestException):
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


def restart(server: Server) -> None:
    """Stop a server as a service is stopped, and start it again. Returns when it is ready."""
    assert server.stop() == 0
    server.start()
    assert call(server, "GET", "/health/ready").status_code == 200


def test_a_rolling_restart_under_load_loses_no_request(machines: Machines, nginx: Nginx, url: str) -> None:
    load = Load(nginx)
    with load.running():
        for server in machines.both:
            nginx.switch("off", server)
            load.go_on()
            calls = calls_of(server)
            load.go_on()
            assert calls_of(server) == calls  # nobody is sent to it any more
            restart(server)
            nginx.switch("on", server)
            load.go_on()
            assert calls_of(server) > calls

    assert set(load.answers) == {("POST", 201), ("GET", 200)}
    assert kept(url) == Counter(load.added)
    assert all(count == 1 for count in kept(url).values())


def calls_of(server: Server) -> int:
    """How many calls of the load this server has answered."""
    return server.output().count("route=/api/v1/dogs")
