"""Outages: database restarts, hangs and full disks, slow clients, and killed workers."""

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

from api.http.concurrency import MAX_BODIES_PER_ADDRESS
from models.db.postgres import TIMEOUT_SECONDS

from .engines import BOTH_ENGINES, SQLITE_ONLY
from .factories import PASSWORD, PHOTOS, api_error, sqlite_file
from .live_server import Server, wait_until
from .postgres import Cluster

pytestmark = BOTH_ENGINES

# Every request must succeed again within this time after the database is back.
RECOVERY_SECONDS = 5
# The default of DATABASE_POOL_SIZE.
DEFAULT_POOL_SIZE = 20
DOG = {"name": "Rex", "breed": "Beagle"}
LONG_NAME = "a" * 80


class Outcome(NamedTuple):
    """The result of a request, with its start and end in seconds of `time.monotonic`."""

    started: float
    finished: float
    call: str
    status: int
    data: Any


def register(server: Server, username: str = "Anna") -> dict[str, str]:
    """Register a user and return its session cookie."""
    fields = {"username": username, "email": f"{username.lower()}@example.com", "password": PASSWORD}
    response = requests.post(f"{server.url}/user/register", json=fields, timeout=60)
    assert response.status_code == 201, response.text
    return dict(response.cookies)


def log_in(server: Server, username: str = "Anna") -> requests.Response:
    return requests.post(f"{server.url}/user/login", json={"username": username, "password": PASSWORD}, timeout=60)


def list_dogs(server: Server) -> requests.Response:
    return requests.get(f"{server.url}/api/v1/dogs", timeout=60)


def add_dog(server: Server, cookies: dict[str, str], name: str = "Rex") -> requests.Response:
    return requests.post(f"{server.url}/api/v1/dogs", json={**DOG, "name": name}, cookies=cookies, timeout=60)


def get_profile(server: Server, cookies: dict[str, str]) -> requests.Response:
    return requests.get(f"{server.url}/user/profile", cookies=cookies, timeout=60)


def assert_unavailable(response: requests.Response) -> None:
    assert api_error(response) == (503, "unavailable")
    assert int(response.headers["Retry-After"]) > 0


class Load:
    """Closed-loop clients: two each list dogs, add a dog and read the profile, on a new connection per request."""

    def __init__(self, server: Server, cookies: dict[str, str]) -> None:
        numbers = itertools.count(1)
        self.calls: dict[str, Callable[[], requests.Response]] = {
            "list": lambda: list_dogs(server),
            "add": lambda: add_dog(server, cookies, f"Dog {next(numbers)}"),
            "profile": lambda: get_profile(server, cookies),
        }
        self.outcomes: list[Outcome] = []
        self.lost_at: list[float] = []
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
            started = time.monotonic()
            try:
                response = self.calls[call]()
            except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
                self.lost_at.append(time.monotonic())
                continue
            if response.status_code == 503:
                assert_unavailable(response)
            data = response.json()["data"]
            self.outcomes.append(Outcome(started, time.monotonic(), call, response.status_code, data))

    def count_successes_since(self, since: float) -> int:
        """Count the successful requests that started after this time and after the last failed request."""
        last_failure = max(
            [since, *self.lost_at, *(outcome.finished for outcome in self.outcomes if outcome.status >= 300)]
        )
        return sum(outcome.started > last_failure for outcome in self.outcomes)

    def wait_for_successes(self, number: int, seconds: float) -> None:
        """Wait until this many consecutive requests, started from now on, have succeeded."""
        now = time.monotonic()
        wait_until(
            lambda: self.count_successes_since(now) >= number or any(loop.done() for loop in self.loops),
            "success",
            seconds,
        )

    def acknowledged(self) -> dict[int, str]:
        """Return the names of the dogs created with a 201, by id."""
        return {outcome.data["id"]: outcome.data["name"] for outcome in self.outcomes if outcome.status == 201}


# --- PostgreSQL restarts, hangs, or runs out of connections ---


@pytest.fixture
def postgres_server(cluster: Cluster, tmp_path: Path) -> Iterator[Server]:
    """A server with a PostgreSQL server that only this test uses."""
    with Server(tmp_path / "server", DATABASE_URL=cluster.url("postgres")) as server:
        yield server


@contextmanager
def administrator_connection(cluster: Cluster) -> Iterator[psycopg.Connection[Any]]:
    """An autocommit connection as the database's owner."""
    with psycopg.connect(cluster.url("postgres"), autocommit=True) as connection:
        yield connection


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_postgres_restart_returns_503_and_loses_nothing(cluster: Cluster, postgres_server: Server, mode: str) -> None:
    with Load(postgres_server, register(postgres_server)) as load:
        load.wait_for_successes(100, 60)
        cluster.stop(mode)
        stopped = time.monotonic()
        wait_until(
            lambda: sum(outcome.started > stopped for outcome in load.outcomes) >= 50, "responses while it is down", 60
        )
        starting = time.monotonic()
        cluster.start()
        load.wait_for_successes(60, RECOVERY_SECONDS)

    while_down = [outcome for outcome in load.outcomes if stopped < outcome.started and outcome.finished < starting]
    assert not load.lost_at
    assert {outcome.status for outcome in load.outcomes} == {200, 201, 503}
    assert {(outcome.call, outcome.status) for outcome in while_down} == {("list", 503), ("add", 503), ("profile", 503)}
    assert max(outcome.finished - outcome.started for outcome in load.outcomes) < TIMEOUT_SECONDS + 5
    with administrator_connection(cluster) as database:
        stored = dict(database.execute("SELECT id, name FROM dogs").fetchall())
    assert load.acknowledged().items() <= stored.items(), "a dog acknowledged with 201 is lost"


def test_terminated_idle_connections_are_not_reused(cluster: Cluster, postgres_server: Server) -> None:
    cookies = register(postgres_server)
    with ThreadPoolExecutor(16) as clients:
        assert all(response.ok for response in clients.map(lambda _: list_dogs(postgres_server), range(100)))
    our_connections = "FROM pg_stat_activity WHERE application_name = 'kennel'"
    with administrator_connection(cluster) as database:
        terminated = database.execute(f"SELECT count(pg_terminate_backend(pid)) {our_connections}").fetchone()
        wait_until(
            lambda: database.execute(f"SELECT count(*) {our_connections}").fetchone() == (0,),
            "end of all connections",
            30,
        )

    assert terminated > (1,)
    for _ in range(20):  # each on a new connection, so that both workers get some
        assert add_dog(postgres_server, cookies).status_code == 201


@pytest.mark.parametrize("within", ["a statement", "a transaction"])
def test_connection_terminated_in_use_fails_one_request(cluster: Cluster, postgres_server: Server, within: str) -> None:
    cookies = register(postgres_server)
    change = {"username": "Bea"}
    # pg_stat_activity does not change within a transaction, so another connection polls it.
    with (
        administrator_connection(cluster) as database,
        administrator_connection(cluster) as observer,
        ThreadPoolExecutor(1) as client,
    ):
        blocked = "FROM pg_stat_activity WHERE application_name = 'kennel' AND wait_event_type = 'Lock'"
        with database.transaction():
            if within == "a statement":
                database.execute("LOCK TABLE dogs IN ACCESS EXCLUSIVE MODE")
                request: Future[Any] = client.submit(list_dogs, postgres_server)
            else:
                database.execute("SELECT * FROM users FOR UPDATE")
                url = f"{postgres_server.url}/user/profile"
                request = client.submit(requests.patch, url, json=change, cookies=cookies, timeout=60)
            wait_until(lambda: observer.execute(f"SELECT count(*) {blocked}").fetchone() == (1,), "blocked request", 9)
            assert observer.execute(f"SELECT count(pg_terminate_backend(pid)) {blocked}").fetchone() == (1,)
            assert_unavailable(request.result())

    for _ in range(20):
        assert list_dogs(postgres_server).ok
        assert get_profile(postgres_server, cookies).json()["data"]["username"] == "Anna"
    url = f"{postgres_server.url}/user/profile"
    assert requests.patch(url, json=change, cookies=cookies, timeout=60).json()["data"]["username"] == "Bea"


def test_hung_postgres_blocks_few_threads_then_recovers(cluster: Cluster, postgres_server: Server) -> None:
    clients, workers = 150, 2
    with ThreadPoolExecutor(clients) as threads:
        assert all(response.ok for response in threads.map(lambda _: list_dogs(postgres_server), range(clients)))
        cluster.kill(signal.SIGSTOP)
        started = time.monotonic()
        requests_in_flight = [threads.submit(list_dogs, postgres_server) for _ in range(clients)]
        while sum(request.done() for request in requests_in_flight) < clients - workers * DEFAULT_POOL_SIZE:
            for path in ("/health/live", "/errors/conflict"):
                assert requests.get(f"{postgres_server.url}{path}", timeout=TIMEOUT_SECONDS).status_code == 200
            assert time.monotonic() < started + TIMEOUT_SECONDS + 15, "more requests hang than the pool has connections"
        rejected = [request.result() for request in requests_in_flight if request.done()]
        cluster.kill(signal.SIGCONT)
        responses = [request.result() for request in requests_in_flight]

        for response in rejected:
            assert_unavailable(response)
        assert {response.status_code for response in responses} <= {200, 503}
        for response in threads.map(lambda _: list_dogs(postgres_server), range(clients)):
            assert response.status_code == 200, "requests fail after PostgreSQL resumes"


@pytest.mark.system
def test_too_few_connections_make_requests_wait_or_return_503(tmp_path: Path) -> None:
    with (
        Cluster(max_connections="8") as cluster,
        Server(tmp_path / "server", DATABASE_URL=cluster.url("postgres")) as server,
        ThreadPoolExecutor(60) as clients,
    ):
        cookies = register(server)
        calls = [
            lambda: list_dogs(server),
            lambda: add_dog(server, cookies),
            lambda: get_profile(server, cookies),
        ] * 100
        responses = list(clients.map(lambda call: call(), calls))
        counts = Counter(response.status_code for response in responses)
        later = Counter(list_dogs(server).status_code for _ in range(40))

        for response in responses:
            if response.status_code not in (200, 201):
                assert_unavailable(response)
        assert counts[200] > 0
        assert counts[201] > 0
        assert later == {200: 40}, "a worker holds connections that another one needs"


# --- Slow clients ---


class SlowClients:
    """Clients that send the first part of a request on entry, then one byte a second until exit, and never finish."""

    def __init__(self, server: Server, number: int, part: bytes) -> None:
        self.address = ("127.0.0.1", server.port)
        self.number = number
        self.part = part
        self.done = threading.Event()

    def __enter__(self) -> SlowClients:
        self.sockets = [socket.create_connection(self.address, timeout=60) for _ in range(self.number)]
        for connection in self.sockets:
            connection.sendall(self.part)
        self.dripper = threading.Thread(target=self.drip)
        self.dripper.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.dripper.join()
        for connection in self.sockets:
            connection.close()

    def drip(self) -> None:
        while not self.done.wait(1):
            for connection in self.unanswered():
                connection.send(b"a")

    def unanswered(self) -> list[socket.socket]:
        """Return the connections without a response."""
        answered, _, _ = select.select(self.sockets, [], [], 0)
        return [connection for connection in self.sockets if connection not in answered]

    def statuses(self) -> Counter[int]:
        """Count the responses by status."""
        answered, _, _ = select.select(self.sockets, [], [], 0)
        return Counter(int(connection.recv(65536, socket.MSG_PEEK).split()[1]) for connection in answered)


def slow_parts(cookies: dict[str, str]) -> dict[str, bytes]:
    """Return incomplete requests: what a slow client sends at once, before it slows down."""
    cookie = f"Cookie: kennel_session={cookies['kennel_session']}\r\n"
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


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("kind", ["logins", "dogs", "pictures", "headers"])
def test_sixty_slow_clients_do_not_block_others(make_server: Callable[..., Server], kind: str, workers: str) -> None:
    # One server per kind: until it notices that the previous sixty have left, it has no capacity for sixty more.
    with make_server(WEB_CONCURRENCY=workers) as server:
        cookies = register(server)
        with SlowClients(server, 60, slow_parts(cookies)[kind]) as slow:
            for _ in range(20):
                assert list_dogs(server).status_code == 200
                assert get_profile(server, cookies).status_code == 200
            assert log_in(server).status_code == 200
            assert add_dog(server, cookies).status_code == 201
            assert len(slow.unanswered()) == 60, f"slow clients got responses: {slow.statuses()}"


@pytest.mark.parametrize("kind", ["logins", "pictures"])
def test_slow_bodies_do_not_starve_reads(make_server: Callable[..., Server], kind: str) -> None:
    with make_server(WEB_CONCURRENCY="1") as server:
        cookies = register(server)
        with SlowClients(server, 300, slow_parts(cookies)[kind]) as slow:
            wait_until(lambda: len(slow.unanswered()) <= MAX_BODIES_PER_ADDRESS, "503 for excess bodies", 60)
            for _ in range(20):
                assert list_dogs(server).status_code == 200
                assert get_profile(server, cookies).status_code == 200
            assert_unavailable(log_in(server))
            assert slow.statuses() == {503: 300 - MAX_BODIES_PER_ADDRESS}
        wait_until(lambda: log_in(server).status_code == 200, "login after the slow clients left", 30)


# --- Killed workers ---


def worker_pids(server: Server) -> set[int]:
    """Return the process ids of the workers."""
    assert server.process
    main = server.process.pid
    return {int(process) for process in Path(f"/proc/{main}/task/{main}/children").read_text().split()}


def test_killed_worker_is_replaced_without_lost_writes(server: Server) -> None:
    cookies = register(server)
    with Load(server, cookies) as load:
        load.wait_for_successes(100, 60)
        before = worker_pids(server)
        killed = min(before)
        os.kill(killed, signal.SIGKILL)
        load.wait_for_successes(60, 60)
        wait_until(lambda: len(worker_pids(server) - {killed}) == len(before), "new worker", 60)
        load.wait_for_successes(60, 60)

    assert {outcome.status for outcome in load.outcomes} == {200, 201}
    for number, name in load.acknowledged().items():
        stored = requests.get(f"{server.url}/api/v1/dogs/{number}", timeout=60).json()["data"]
        assert stored["name"] == name, "a dog acknowledged with 201 is lost"


# --- SQLite is locked by another process ---

HOLD_WRITE_LOCK = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
database.execute("COMMIT")
"""


@SQLITE_ONLY
def test_sqlite_locked_for_5_seconds_delays_only_writes(server: Server) -> None:
    cookies = register(server)
    file = sqlite_file(server.settings["DATABASE_URL"])
    command = [sys.executable, "-c", HOLD_WRITE_LOCK, str(file)]
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
            assert get_profile(server, cookies).status_code == 200
            reads += 2
        releasing.join()
        assert Counter(write.result().status_code for write in writes) == {201: 4, 200: 1}
    assert reads > 20, "reads wait for the write lock"


# --- Full disk ---


@contextmanager
def small_disk(folder: Path, size: str, owner: str | None = None) -> Iterator[Path]:
    """A tmpfs of this size, mounted on a new folder."""
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("Mounting a tmpfs needs root")
    try:
        if owner:
            shutil.chown(folder, owner)
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill_disk(disk: Path, free_bytes: int = 0) -> Path:
    """Fill the disk except for this many bytes, and return the file to delete for making space again."""
    filler = disk / "filler"
    with open(filler, "wb", buffering=0) as file:
        with suppress(OSError):
            while True:
                file.write(b"\0" * 4096)
        file.truncate(file.tell() - free_bytes)
    return filler


def assert_insufficient_storage(response: requests.Response) -> None:
    assert api_error(response) == (507, "insufficient-storage")


def add_until_full(server: Server, cookies: dict[str, str]) -> dict[int, str]:
    """Add dogs until ten in a row fail with 507; return those that were acknowledged with 201.

    A single 507 is not enough: PostgreSQL may fail while it extends a file, and then use the space it got.
    """
    acknowledged: dict[int, str] = {}
    failures = 0
    for number in range(3000):
        response = add_dog(server, cookies, f"{number}{LONG_NAME}"[:80])
        if response.status_code == 201:
            failures = 0
            acknowledged[response.json()["data"]["id"]] = response.json()["data"]["name"]
            continue
        assert_insufficient_storage(response)
        failures += 1
        if failures == 10:
            return acknowledged
    raise AssertionError("the disk did not get full")


@pytest.mark.system
def test_sqlite_on_full_disk_rejects_writes_and_stays_intact(tmp_path: Path) -> None:
    with (
        small_disk(tmp_path / "disk", "3m") as disk,
        Server(tmp_path / "server", DATABASE_URL=f"sqlite:///{disk / 'dogs.sqlite'}") as server,
    ):
        cookies = register(server)
        filler = fill_disk(disk, free_bytes=64 * 1024)
        acknowledged = add_until_full(server, cookies)
        files = set(server.uploads.iterdir())
        new_user = {"username": "Bob", "email": "bob@example.com", "password": PASSWORD}
        for _ in range(10):
            assert_insufficient_storage(add_dog(server, cookies, LONG_NAME))
            assert list_dogs(server).status_code == 200
            assert get_profile(server, cookies).status_code == 200
        # A session is smaller than a dog, so some still fit.
        assert_insufficient_storage(
            next(response for response in (log_in(server) for _ in range(200)) if response.status_code != 200)
        )
        assert_insufficient_storage(requests.post(f"{server.url}/user/register", json=new_user, timeout=60))
        assert set(server.uploads.iterdir()) == files, "a file without a row remains"

        filler.unlink()
        for _ in range(20):
            assert add_dog(server, cookies).status_code == 201
        assert log_in(server).status_code == 200
        assert requests.post(f"{server.url}/user/register", json=new_user, timeout=60).status_code == 201
        with closing(sqlite3.connect(disk / "dogs.sqlite")) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            stored = dict(database.execute("SELECT id, name FROM dogs").fetchall())
        assert acknowledged.items() <= stored.items()
        assert len(stored) == len(acknowledged) + 20


@pytest.mark.system
def test_upload_on_full_disk_returns_507_and_leaves_no_file(tmp_path: Path) -> None:
    photo = (PHOTOS / "grace_hopper.jpg").read_bytes()
    with (
        small_disk(tmp_path / "disk", "1m") as disk,
        Server(tmp_path / "server", UPLOADS_URL=str(disk)) as server,
    ):
        cookies = register(server)
        before = get_profile(server, cookies).json()["data"]
        files = {path.name for path in disk.iterdir()}
        filler = fill_disk(disk)
        url = f"{server.url}/user/picture"

        def upload_photo() -> requests.Response:
            return requests.put(url, cookies=cookies, files={"file": ("me.jpg", photo)}, timeout=60)

        new_user = {"username": "Bob", "email": "bob@example.com", "password": PASSWORD}
        for _ in range(5):
            assert_insufficient_storage(upload_photo())
        assert_insufficient_storage(requests.post(f"{server.url}/user/register", json=new_user, timeout=60))
        assert {path.name for path in disk.iterdir()} == files | {filler.name}, "an incomplete file remains"
        assert get_profile(server, cookies).json()["data"] == before
        assert requests.get(f"{server.url}/profile_pics/{before['image']}", timeout=60).status_code == 200

        filler.unlink()
        assert upload_photo().status_code == 200
        assert requests.post(f"{server.url}/user/register", json=new_user, timeout=60).status_code == 201


def test_postgres_on_full_disk_rejects_writes_and_serves_reads(
    cluster: Cluster, postgres_server: Server, tmp_path: Path
) -> None:
    cookies = register(postgres_server)
    with (
        small_disk(cluster.folder / "small", "3m", cluster.user) as disk,
        administrator_connection(cluster) as database,
    ):
        database.execute(f"CREATE TABLESPACE small LOCATION '{disk}'")
        database.execute("ALTER TABLE dogs SET TABLESPACE small")
        filler = fill_disk(disk, free_bytes=64 * 1024)
        acknowledged = add_until_full(postgres_server, cookies)
        for _ in range(10):
            assert_insufficient_storage(add_dog(postgres_server, cookies, LONG_NAME))
            assert list_dogs(postgres_server).status_code == 200
            assert get_profile(postgres_server, cookies).status_code == 200
        assert log_in(postgres_server).status_code == 200  # sessions are in another tablespace

        filler.unlink()
        for _ in range(20):
            assert add_dog(postgres_server, cookies).status_code == 201
        stored = dict(database.execute("SELECT id, name FROM dogs").fetchall())
        assert acknowledged.items() <= stored.items()
        assert len(stored) == len(acknowledged) + 20
        cluster.stop("immediate")  # before its disk is unmounted
        cluster.start()
