"""What the server lives through: a database that ends, hangs or is full, clients that never come to an end, a kill."""

from __future__ import annotations

import itertools
import select
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
import requests

from api.slots import READERS
from models.postgres import QUEUE, TIMEOUT

from .factories import PASSWORD, refusal
from .postgres import Cluster
from .server import Server

# A promise: so many seconds after the database is back, every request succeeds again.
RECOVERY = 5
# The default of DATABASE_POOL_SIZE.
POOL = 20
DOG = {"name": "Rex", "breed": "Beagle"}


class Answer(NamedTuple):
    """What a client got, and when, in seconds of `time.monotonic`."""

    begun: float
    ended: float
    call: str
    status: int
    data: Any


def register(server: Server, username: str = "Anna") -> dict[str, str]:
    """The cookie of a new user."""
    fields = {"username": username, "email": f"{username.lower()}@example.com", "password": PASSWORD}
    answer = requests.post(f"{server.url}/user/register", json=fields, timeout=60)
    assert answer.status_code == 201, answer.text
    return dict(answer.cookies)


def log_in(server: Server, username: str = "Anna") -> requests.Response:
    return requests.post(f"{server.url}/user/login", json={"username": username, "password": PASSWORD}, timeout=60)


def list_dogs(server: Server) -> requests.Response:
    return requests.get(f"{server.url}/api/v1/dogs", timeout=60)


def add_dog(server: Server, cookies: dict[str, str], name: str = "Rex") -> requests.Response:
    return requests.post(f"{server.url}/api/v1/dogs", json={**DOG, "name": name}, cookies=cookies, timeout=60)


def profile(server: Server, cookies: dict[str, str]) -> requests.Response:
    return requests.get(f"{server.url}/user/profile", cookies=cookies, timeout=60)


def until(true: Callable[[], Any], seconds: float, what: str) -> None:
    """Wait for something of another process, which tells nobody when it comes."""
    ends_at = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends_at, f"{what} did not come within {seconds} seconds"
        time.sleep(0.02)


def assert_unavailable(answer: requests.Response) -> None:
    assert refusal(answer) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) > 0


class Load:
    """Clients in closed loops: two each that list dogs, add one and read their profile, on a connection each time."""

    def __init__(self, server: Server, cookies: dict[str, str]) -> None:
        numbers = itertools.count(1)
        self.calls: dict[str, Callable[[], requests.Response]] = {
            "list": lambda: list_dogs(server),
            "add": lambda: add_dog(server, cookies, f"Dog {next(numbers)}"),
            "profile": lambda: profile(server, cookies),
        }
        self.answers: list[Answer] = []
        self.lost: list[float] = []
        self.done = threading.Event()
        self.threads = ThreadPoolExecutor(2 * len(self.calls))

    def __enter__(self) -> Load:
        self.loops = [self.threads.submit(self.loop, call) for call in self.calls for _ in range(2)]
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.threads.shutdown()
        for loop in self.loops:
            loop.result()

    def loop(self, call: str) -> None:
        while not self.done.is_set():
            begun = time.monotonic()
            try:
                answer = self.calls[call]()
            except requests.ConnectionError:
                self.lost.append(time.monotonic())
                continue
            if answer.status_code == 503:
                assert_unavailable(answer)
            data = answer.json()["data"]
            self.answers.append(Answer(begun, time.monotonic(), call, answer.status_code, data))

    def good_since(self, moment: float) -> int:
        """How many have been answered with success, each begun after this moment and after the last that failed."""
        failed = max([moment, *self.lost, *(answer.ended for answer in self.answers if answer.status >= 300)])
        return sum(answer.begun > failed for answer in self.answers)

    def until_good(self, number: int, seconds: float) -> None:
        """Go on until so many requests, all begun from now on, have succeeded without one between them that failed."""
        now = time.monotonic()
        until(lambda: self.good_since(now) >= number or any(loop.done() for loop in self.loops), seconds, "success")

    def added(self) -> dict[int, str]:
        """The dogs whose adding was answered with 201."""
        return {answer.data["id"]: answer.data["name"] for answer in self.answers if answer.status == 201}


# --- PostgreSQL ends, hangs, or has no room ---


@pytest.fixture
def on_postgresql(cluster: Cluster, tmp_path: Path) -> Iterator[Server]:
    """The real server on a PostgreSQL server of this test's own."""
    with Server(tmp_path / "server", DATABASE_URL=cluster.url("postgres")) as server:
        yield server


@contextmanager
def administrator(cluster: Cluster) -> Iterator[psycopg.Connection[Any]]:
    """A connection of the database's owner, each of whose statements stands alone."""
    with psycopg.connect(cluster.url("postgres"), autocommit=True) as connection:
        yield connection


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_restart_of_postgresql_is_503_until_it_is_back_and_loses_nothing(
    cluster: Cluster, on_postgresql: Server, mode: str
) -> None:
    with Load(on_postgresql, register(on_postgresql)) as load:
        load.until_good(100, 60)
        cluster.stop(mode)
        stopped = time.monotonic()
        until(lambda: sum(answer.begun > stopped for answer in load.answers) >= 50, 60, "an answer while it is down")
        starting = time.monotonic()
        cluster.start()
        back = time.monotonic()
        load.until_good(60, RECOVERY)

    while_down = [answer for answer in load.answers if stopped < answer.begun and answer.ended < starting]
    failed = [answer for answer in load.answers if answer.status >= 300]
    assert not load.lost
    assert {answer.status for answer in load.answers} == {200, 201, 503}
    assert {(answer.call, answer.status) for answer in while_down} == {("list", 503), ("add", 503), ("profile", 503)}
    assert max(answer.ended - answer.begun for answer in load.answers) < TIMEOUT + 5
    with administrator(cluster) as database:
        kept = dict(database.execute("SELECT id, name FROM dogs").fetchall())
    assert load.added().items() <= kept.items(), "a dog is gone whose adding was answered with 201"
    report(f"restart, {mode}", recovery=max(answer.ended for answer in failed) - back, answers=len(load.answers),
           failed=len(failed), added=len(load.added()), unsaid=len(kept) - len(load.added()))


def report(what: str, **figures: float) -> None:
    print(what, {name: round(figure, 3) for name, figure in figures.items()})


def test_connections_that_were_ended_while_idle_are_never_used(cluster: Cluster, on_postgresql: Server) -> None:
    cookies = register(on_postgresql)
    with ThreadPoolExecutor(16) as clients:
        assert all(answer.ok for answer in clients.map(lambda _: list_dogs(on_postgresql), range(100)))
    ours = "FROM pg_stat_activity WHERE application_name = 'kennel'"
    with administrator(cluster) as database:
        ended = database.execute(f"SELECT count(pg_terminate_backend(pid)) {ours}").fetchone()
        until(lambda: database.execute(f"SELECT count(*) {ours}").fetchone() == (0,), 30, "the end of all connections")

    assert ended > (1,)
    for _ in range(20):  # on a connection of its own each, so that both processes get some
        assert add_dog(on_postgresql, cookies).status_code == 201


@pytest.mark.parametrize("within", ["a statement", "a transaction"])
def test_a_connection_that_is_ended_in_the_middle_fails_one_request(
    cluster: Cluster, on_postgresql: Server, within: str
) -> None:
    cookies = register(on_postgresql)
    change = {"username": "Bea"}
    with administrator(cluster) as database, ThreadPoolExecutor(1) as client:
        waiting = "FROM pg_stat_activity WHERE application_name = 'kennel' AND wait_event_type = 'Lock'"
        with database.transaction():
            if within == "a statement":
                database.execute("LOCK TABLE dogs IN ACCESS EXCLUSIVE MODE")
                request: Future[Any] = client.submit(list_dogs, on_postgresql)
            else:
                database.execute("SELECT * FROM users FOR UPDATE")
                url = f"{on_postgresql.url}/user/profile"
                request = client.submit(requests.patch, url, json=change, cookies=cookies, timeout=60)
            until(lambda: database.execute(f"SELECT count(*) {waiting}").fetchone() == (1,), 9, "a request that waits")
            assert database.execute(f"SELECT count(pg_terminate_backend(pid)) {waiting}").fetchone() == (1,)
            assert_unavailable(request.result())

    for _ in range(20):
        assert list_dogs(on_postgresql).ok
        assert profile(on_postgresql, cookies).json()["data"]["username"] == "Anna"
    url = f"{on_postgresql.url}/user/profile"
    assert requests.patch(url, json=change, cookies=cookies, timeout=60).json()["data"]["username"] == "Bea"


def test_a_postgresql_that_hangs_holds_few_threads_and_all_goes_on_when_it_does(
    cluster: Cluster, on_postgresql: Server
) -> None:
    clients, processes = 150, 2
    with ThreadPoolExecutor(clients) as threads:
        assert all(answer.ok for answer in threads.map(lambda _: list_dogs(on_postgresql), range(clients)))
        cluster.kill(signal.SIGSTOP)
        began = time.monotonic()
        hanging = [threads.submit(list_dogs, on_postgresql) for _ in range(clients)]
        slowest = 0.0
        while sum(request.done() for request in hanging) < clients - processes * POOL:
            for path in ("/health/live", "/errors/conflict"):
                begun = time.monotonic()
                assert requests.get(f"{on_postgresql.url}{path}", timeout=TIMEOUT).status_code == 200
                slowest = max(slowest, time.monotonic() - begun)
            assert time.monotonic() < began + TIMEOUT + 15, "more requests hang than the database has connections"
        refused_after = time.monotonic() - began
        refused = [request.result() for request in hanging if request.done()]
        cluster.kill(signal.SIGCONT)
        resumed = time.monotonic()
        answers = [request.result() for request in hanging]
        report("hang", refused=len(refused), refused_after=refused_after, slowest_without_database=slowest,
               resumed_after=time.monotonic() - resumed,
               at_once=sum(answer.elapsed.total_seconds() < 3 for answer in refused), room=processes * (POOL + QUEUE))

        for answer in refused:
            assert_unavailable(answer)
        assert {answer.status_code for answer in answers} <= {200, 503}
        for answer in threads.map(lambda _: list_dogs(on_postgresql), range(clients)):
            assert answer.status_code == 200, "it does not go on where it hung"


def test_where_postgresql_has_fewer_connections_than_we_want_requests_wait_or_get_503(tmp_path: Path) -> None:
    with (
        Cluster(max_connections="8") as cluster,
        Server(tmp_path / "server", DATABASE_URL=cluster.url("postgres")) as server,
        ThreadPoolExecutor(60) as clients,
    ):
        cookies = register(server)
        calls = [lambda: list_dogs(server), lambda: add_dog(server, cookies), lambda: profile(server, cookies)] * 100
        answers = list(clients.map(lambda call: call(), calls))
        counts = Counter(answer.status_code for answer in answers)
        later = Counter(list_dogs(server).status_code for _ in range(40))
        report("few connections", **{str(status): count for status, count in counts.items()})
        report("few connections, later", **{str(status): count for status, count in later.items()})

        for answer in answers:
            if answer.status_code not in (200, 201):
                assert_unavailable(answer)
        assert counts[200] > 0
        assert counts[201] > 0
        assert later == {200: 40}, "a process keeps connections to itself that another one needs"


# --- Clients that never come to an end ---


class SlowClients:
    """Clients that send a request one byte a second, from entry to exit: a part of it first, the rest never."""

    def __init__(self, server: Server, number: int, part: bytes) -> None:
        self.address = ("127.0.0.1", server.port)
        self.number = number
        self.part = part
        self.done = threading.Event()

    def __enter__(self) -> SlowClients:
        self.sockets = [socket.create_connection(self.address, timeout=60) for _ in range(self.number)]
        for connection in self.sockets:
            connection.sendall(self.part)
        self.dripping = threading.Thread(target=self.drip)
        self.dripping.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.dripping.join()
        for connection in self.sockets:
            connection.close()

    def drip(self) -> None:
        while not self.done.wait(1):
            for connection in self.waiting():
                connection.send(b"a")

    def waiting(self) -> list[socket.socket]:
        """Those that nothing was answered to."""
        answered, _, _ = select.select(self.sockets, [], [], 0)
        return [connection for connection in self.sockets if connection not in answered]

    def statuses(self) -> Counter[int]:
        """How many were answered with each status."""
        answered, _, _ = select.select(self.sockets, [], [], 0)
        return Counter(int(connection.recv(65536, socket.MSG_PEEK).split()[1]) for connection in answered)


def slow_parts(cookies: dict[str, str]) -> dict[str, bytes]:
    """Requests that are not whole: what a slow client has sent when it begins to be slow."""
    cookie = f"Cookie: session={cookies['session']}\r\n"
    form = "Content-Type: multipart/form-data; boundary=limit\r\nContent-Length: 1000000\r\n\r\n"
    file = '--limit\r\nContent-Disposition: form-data; name="file"; filename="me.jpg"\r\n\r\n'
    body = 'Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"'
    parts = {
        "logins": f"POST /user/login HTTP/1.1\r\nHost: localhost\r\n{body}",
        "dogs": f"POST /api/v1/dogs HTTP/1.1\r\nHost: localhost\r\n{cookie}{body}",
        "pictures": f"PUT /user/picture HTTP/1.1\r\nHost: localhost\r\n{cookie}{form}{file}",
        "headers": "GET /api/v1/dogs HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
    }
    return {name: part.encode() for name, part in parts.items()}


@pytest.mark.parametrize("processes", ["1", "2"])
def test_sixty_slow_clients_stop_nobody_else(make_server: Callable[..., Server], processes: str) -> None:
    with make_server(WEB_CONCURRENCY=processes) as server:
        cookies = register(server)
        for name, part in slow_parts(cookies).items():
            with SlowClients(server, 60, part) as slow:
                for _ in range(20):
                    assert list_dogs(server).status_code == 200, name
                    assert profile(server, cookies).status_code == 200, name
                assert log_in(server).status_code == 200, name
                assert add_dog(server, cookies).status_code == 201, name
                assert len(slow.waiting()) == 60, f"the slow {name} were answered: {slow.statuses()}"


@pytest.mark.parametrize("kind", ["logins", "pictures"])
def test_of_three_hundred_slow_bodies_those_too_many_get_503_and_what_has_none_is_answered(
    make_server: Callable[..., Server], kind: str
) -> None:
    with make_server(WEB_CONCURRENCY="1") as server:
        cookies = register(server)
        with SlowClients(server, 300, slow_parts(cookies)[kind]) as slow:
            until(lambda: len(slow.waiting()) <= READERS, 60, "503 for those that are too many")
            for _ in range(20):
                assert list_dogs(server).status_code == 200
                assert profile(server, cookies).status_code == 200
            assert_unavailable(log_in(server))
            assert slow.statuses() == {503: 300 - READERS}
        until(lambda: log_in(server).status_code == 200, 30, "a login, when they are gone")
