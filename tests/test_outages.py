"""What the server lives through: a database that ends, hangs or is full, clients that never come to an end, a kill."""

from __future__ import annotations

import itertools
import os
import select
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
import requests

from api.http.concurrency import MAX_BODY_READERS
from models.db.postgres import TIMEOUT_SECONDS

from .engines import BOTH_ENGINES, SQLITE_ONLY
from .factories import PASSWORD, PHOTOS, api_error, sqlite_file
from .live_server import Server
from .postgres import Cluster

pytestmark = BOTH_ENGINES

# A promise: so many seconds after the database is back, every request succeeds again.
RECOVERY = 5
# The default of DATABASE_POOL_SIZE.
POOL = 20
DOG = {"name": "Rex", "breed": "Beagle"}
LONG = "a" * 80


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
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"{what} did not come within {seconds} seconds"
        time.sleep(0.02)


def assert_unavailable(answer: requests.Response) -> None:
    assert api_error(answer) == (503, "unavailable")
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
            except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
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
def search_postgres(cluster: Cluster, tmp_path: Path) -> Iterator[Server]:
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
    cluster: Cluster, search_postgres: Server, mode: str
) -> None:
    with Load(search_postgres, register(search_postgres)) as load:
        load.until_good(100, 60)
        cluster.stop(mode)
        stopped = time.monotonic()
        until(lambda: sum(answer.begun > stopped for answer in load.answers) >= 50, 60, "an answer while it is down")
        starting = time.monotonic()
        cluster.start()
        load.until_good(60, RECOVERY)

    while_down = [answer for answer in load.answers if stopped < answer.begun and answer.ended < starting]
    assert not load.lost
    assert {answer.status for answer in load.answers} == {200, 201, 503}
    assert {(answer.call, answer.status) for answer in while_down} == {("list", 503), ("add", 503), ("profile", 503)}
    assert max(answer.ended - answer.begun for answer in load.answers) < TIMEOUT_SECONDS + 5
    with administrator(cluster) as database:
        kept = dict(database.execute("SELECT id, name FROM dogs").fetchall())
    assert load.added().items() <= kept.items(), "a dog is gone whose adding was answered with 201"


def test_connections_that_were_ended_while_idle_are_never_used(cluster: Cluster, search_postgres: Server) -> None:
    cookies = register(search_postgres)
    with ThreadPoolExecutor(16) as clients:
        assert all(answer.ok for answer in clients.map(lambda _: list_dogs(search_postgres), range(100)))
    ours = "FROM pg_stat_activity WHERE application_name = 'kennel'"
    with administrator(cluster) as database:
        ended = database.execute(f"SELECT count(pg_terminate_backend(pid)) {ours}").fetchone()
        until(lambda: database.execute(f"SELECT count(*) {ours}").fetchone() == (0,), 30, "the end of all connections")

    assert ended > (1,)
    for _ in range(20):  # on a connection of its own each, so that both processes get some
        assert add_dog(search_postgres, cookies).status_code == 201


@pytest.mark.parametrize("within", ["a statement", "a transaction"])
def test_a_connection_that_is_ended_in_the_middle_fails_one_request(
    cluster: Cluster, search_postgres: Server, within: str
) -> None:
    cookies = register(search_postgres)
    change = {"username": "Bea"}
    # Within its transaction, a connection would see the activity of one moment only.
    with administrator(cluster) as database, administrator(cluster) as watch, ThreadPoolExecutor(1) as client:
        waiting = "FROM pg_stat_activity WHERE application_name = 'kennel' AND wait_event_type = 'Lock'"
        with database.transaction():
            if within == "a statement":
                database.execute("LOCK TABLE dogs IN ACCESS EXCLUSIVE MODE")
                request: Future[Any] = client.submit(list_dogs, search_postgres)
            else:
                database.execute("SELECT * FROM users FOR UPDATE")
                url = f"{search_postgres.url}/user/profile"
                request = client.submit(requests.patch, url, json=change, cookies=cookies, timeout=60)
            until(lambda: watch.execute(f"SELECT count(*) {waiting}").fetchone() == (1,), 9, "a request that waits")
            assert watch.execute(f"SELECT count(pg_terminate_backend(pid)) {waiting}").fetchone() == (1,)
            assert_unavailable(request.result())

    for _ in range(20):
        assert list_dogs(search_postgres).ok
        assert profile(search_postgres, cookies).json()["data"]["username"] == "Anna"
    url = f"{search_postgres.url}/user/profile"
    assert requests.patch(url, json=change, cookies=cookies, timeout=60).json()["data"]["username"] == "Bea"


def test_a_postgresql_that_hangs_holds_few_threads_and_all_goes_on_when_it_does(
    cluster: Cluster, search_postgres: Server
) -> None:
    clients, processes = 150, 2
    with ThreadPoolExecutor(clients) as threads:
        assert all(answer.ok for answer in threads.map(lambda _: list_dogs(search_postgres), range(clients)))
        cluster.kill(signal.SIGSTOP)
        began = time.monotonic()
        hanging = [threads.submit(list_dogs, search_postgres) for _ in range(clients)]
        while sum(request.done() for request in hanging) < clients - processes * POOL:
            for path in ("/health/live", "/errors/conflict"):
                assert requests.get(f"{search_postgres.url}{path}", timeout=TIMEOUT_SECONDS).status_code == 200
            assert time.monotonic() < began + TIMEOUT_SECONDS + 15, (
                "more requests hang than the database has connections"
            )
        refused = [request.result() for request in hanging if request.done()]
        cluster.kill(signal.SIGCONT)
        answers = [request.result() for request in hanging]

        for answer in refused:
            assert_unavailable(answer)
        assert {answer.status_code for answer in answers} <= {200, 503}
        for answer in threads.map(lambda _: list_dogs(search_postgres), range(clients)):
            assert answer.status_code == 200, "it does not go on where it hung"


@pytest.mark.system
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
@pytest.mark.parametrize("kind", ["logins", "dogs", "pictures", "headers"])
def test_sixty_slow_clients_stop_nobody_else(make_server: Callable[..., Server], kind: str, processes: str) -> None:
    # A server for each kind: one that has not yet seen the sixty before leave has too little room for sixty more.
    with make_server(WEB_CONCURRENCY=processes) as server:
        cookies = register(server)
        with SlowClients(server, 60, slow_parts(cookies)[kind]) as slow:
            for _ in range(20):
                assert list_dogs(server).status_code == 200
                assert profile(server, cookies).status_code == 200
            assert log_in(server).status_code == 200
            assert add_dog(server, cookies).status_code == 201
            assert len(slow.waiting()) == 60, f"they were answered: {slow.statuses()}"


@pytest.mark.parametrize("kind", ["logins", "pictures"])
def test_of_three_hundred_slow_bodies_those_too_many_get_503_and_what_has_none_is_answered(
    make_server: Callable[..., Server], kind: str
) -> None:
    with make_server(WEB_CONCURRENCY="1") as server:
        cookies = register(server)
        with SlowClients(server, 300, slow_parts(cookies)[kind]) as slow:
            until(lambda: len(slow.waiting()) <= MAX_BODY_READERS, 60, "503 for those that are too many")
            for _ in range(20):
                assert list_dogs(server).status_code == 200
                assert profile(server, cookies).status_code == 200
            assert_unavailable(log_in(server))
            assert slow.statuses() == {503: 300 - MAX_BODY_READERS}
        until(lambda: log_in(server).status_code == 200, 30, "a login, when they are gone")


# --- A worker process that is killed ---


def workers(server: Server) -> set[int]:
    """The worker processes."""
    assert server.process
    main = server.process.pid
    return {int(process) for process in Path(f"/proc/{main}/task/{main}/children").read_text().split()}


def test_a_killed_worker_is_replaced_and_what_was_answered_is_not_lost(server: Server) -> None:
    cookies = register(server)
    with Load(server, cookies) as load:
        load.until_good(100, 60)
        before = workers(server)
        killed = min(before)
        os.kill(killed, signal.SIGKILL)
        load.until_good(60, 60)
        until(lambda: len(workers(server) - {killed}) == len(before), 60, "another worker")
        load.until_good(60, 60)

    assert {answer.status for answer in load.answers} == {200, 201}
    for number, name in load.added().items():
        kept = requests.get(f"{server.url}/api/v1/dogs/{number}", timeout=60).json()["data"]
        assert kept["name"] == name, "a dog is gone whose adding was answered with 201"


# --- SQLite is locked by another process ---

HOLD = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
database.execute("COMMIT")
"""


@SQLITE_ONLY
def test_while_another_process_locks_sqlite_for_five_seconds_writes_wait_and_reads_go_on(server: Server) -> None:
    cookies = register(server)
    file = sqlite_file(server.settings["DATABASE_URL"])
    command = [sys.executable, "-c", HOLD, str(file)]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other,
        ThreadPoolExecutor(5) as clients,
    ):
        assert other.stdout
        assert other.stdout.readline() == "held\n"
        releasing = threading.Timer(5, lambda: other.communicate())
        releasing.start()
        writes = [clients.submit(add_dog, server, cookies) for _ in range(4)]
        writes.append(clients.submit(log_in, server))
        reads = 0
        while not any(write.done() for write in writes):
            assert list_dogs(server).status_code == 200
            assert profile(server, cookies).status_code == 200
            reads += 2
        releasing.join()
        assert Counter(write.result().status_code for write in writes) == {201: 4, 200: 1}
    assert reads > 20, "reads wait for the lock too"


# --- The disk is full ---


@contextmanager
def small_disk(folder: Path, size: str, owner: str | None = None) -> Iterator[Path]:
    """A disk of this size, mounted here."""
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("To fill a disk needs root, who may mount a tmpfs")
    try:
        if owner:
            shutil.chown(folder, owner)
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk: Path, room: int = 0) -> Path:
    """Leave so many bytes free, by a file that may be removed."""
    filler = disk / "filler"
    with open(filler, "wb", buffering=0) as file:
        with suppress(OSError):
            while True:
                file.write(b"\0" * 4096)
        file.truncate(file.tell() - room)
    return filler


def assert_full(answer: requests.Response) -> None:
    assert api_error(answer) == (507, "insufficient-storage")


def add_until_full(server: Server, cookies: dict[str, str]) -> dict[int, str]:
    """Add dogs until ten in a row find no room, and give those that were answered with 201.

    One alone says little: PostgreSQL takes what room there is, fails, and then uses it.
    """
    added: dict[int, str] = {}
    refused = 0
    for number in range(3000):
        answer = add_dog(server, cookies, f"{number}{LONG}"[:80])
        if answer.status_code == 201:
            refused = 0
            added[answer.json()["data"]["id"]] = answer.json()["data"]["name"]
            continue
        assert_full(answer)
        refused += 1
        if refused == 10:
            return added
    raise AssertionError("the disk was never full")


@pytest.mark.system
def test_sqlite_on_a_full_disk_refuses_writes_reads_on_and_is_whole(tmp_path: Path) -> None:
    with (
        small_disk(tmp_path / "disk", "3m") as disk,
        Server(tmp_path / "server", DATABASE_URL=f"sqlite:///{disk / 'dogs.sqlite'}") as server,
    ):
        cookies = register(server)
        filler = fill(disk, room=64 * 1024)
        added = add_until_full(server, cookies)
        files = set(server.uploads.iterdir())
        new = {"username": "Bob", "email": "bob@example.com", "password": PASSWORD}
        for _ in range(10):
            assert_full(add_dog(server, cookies, LONG))
            assert list_dogs(server).status_code == 200
            assert profile(server, cookies).status_code == 200
        # A session takes less than a dog, so for some there is room.
        assert_full(next(answer for answer in (log_in(server) for _ in range(200)) if answer.status_code != 200))
        assert_full(requests.post(f"{server.url}/user/register", json=new, timeout=60))
        assert set(server.uploads.iterdir()) == files, "a file without a row is left"

        filler.unlink()
        for _ in range(20):
            assert add_dog(server, cookies).status_code == 201
        assert log_in(server).status_code == 200
        assert requests.post(f"{server.url}/user/register", json=new, timeout=60).status_code == 201
        with closing(sqlite3.connect(disk / "dogs.sqlite")) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            kept = dict(database.execute("SELECT id, name FROM dogs").fetchall())
        assert added.items() <= kept.items()
        assert len(kept) == len(added) + 20


@pytest.mark.system
def test_pictures_on_a_full_disk_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    photo = (PHOTOS / "grace_hopper.jpg").read_bytes()
    with (
        small_disk(tmp_path / "disk", "1m") as disk,
        Server(tmp_path / "server", UPLOADS_URL=str(disk)) as server,
    ):
        cookies = register(server)
        before = profile(server, cookies).json()["data"]
        files = {path.name for path in disk.iterdir()}
        filler = fill(disk)
        url = f"{server.url}/user/picture"

        def send() -> requests.Response:
            return requests.put(url, cookies=cookies, files={"file": ("me.jpg", photo)}, timeout=60)

        new = {"username": "Bob", "email": "bob@example.com", "password": PASSWORD}
        for _ in range(5):
            assert_full(send())
        assert_full(requests.post(f"{server.url}/user/register", json=new, timeout=60))
        assert {path.name for path in disk.iterdir()} == files | {filler.name}, "half a file is left"
        assert profile(server, cookies).json()["data"] == before
        assert requests.get(f"{server.url}/profile_pics/{before['image']}", timeout=60).status_code == 200

        filler.unlink()
        assert send().status_code == 200
        assert requests.post(f"{server.url}/user/register", json=new, timeout=60).status_code == 201


def test_postgresql_on_a_full_disk_refuses_writes_and_reads_on(
    cluster: Cluster, search_postgres: Server, tmp_path: Path
) -> None:
    cookies = register(search_postgres)
    with small_disk(cluster.folder / "small", "3m", cluster.user) as disk, administrator(cluster) as database:
        database.execute(f"CREATE TABLESPACE small LOCATION '{disk}'")
        database.execute("ALTER TABLE dogs SET TABLESPACE small")
        filler = fill(disk, room=64 * 1024)
        added = add_until_full(search_postgres, cookies)
        for _ in range(10):
            assert_full(add_dog(search_postgres, cookies, LONG))
            assert list_dogs(search_postgres).status_code == 200
            assert profile(search_postgres, cookies).status_code == 200
        assert log_in(search_postgres).status_code == 200  # sessions are on another disk

        filler.unlink()
        for _ in range(20):
            assert add_dog(search_postgres, cookies).status_code == 201
        kept = dict(database.execute("SELECT id, name FROM dogs").fetchall())
        assert added.items() <= kept.items()
        assert len(kept) == len(added) + 20
        cluster.stop("immediate")  # before the disk goes, which it would write to
        cluster.start()
