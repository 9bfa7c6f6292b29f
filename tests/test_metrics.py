"""The numbers for Prometheus: exact over all worker processes, bounded, on their own port, and gone with the server."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from .engines import BOTH_ENGINES, POSTGRESQL_ONLY
from .factories import PASSWORD, PHOTOS
from .live_server import Server, free_port

MakeServer = Callable[..., Server]
ANNA = {"username": "Anna", "email": "anna@example.com", "password": PASSWORD}
DOGS = {"method": "GET", "route": "/api/v1/dogs", "status": "200"}


class MeasuredServer:
    """A server with metrics, and a folder for its temporary files, which are nobody else's."""

    def __init__(self, make_server: MakeServer, tmp_path: Path, **settings: str) -> None:
        self.temporary = tmp_path / "temporary"
        self.temporary.mkdir()
        self.port = free_port()
        self.server = make_server(METRICS_PORT=str(self.port), TMPDIR=str(self.temporary), **settings).start()
        self.url = self.server.url

    def metrics(self) -> str:
        """What Prometheus is told."""
        answer = requests.get(f"http://127.0.0.1:{self.port}/metrics", timeout=30)
        assert answer.status_code == 200
        return answer.text

    def value(self, name: str, **labels: str) -> float | None:
        """One number, or None where there is none of this name and these labels."""
        families = text_string_to_metric_families(self.metrics())
        samples = [sample for family in families for sample in family.samples]
        found = [sample.value for sample in samples if sample.name == name and sample.labels == labels]
        return found[0] if found else None

    def wait_for(self, name: str, value: float) -> None:
        """Wait until this number has this value."""
        while self.value(name) != value:
            time.sleep(0.05)  # another process: there is no event to wait for

    def get_dogs(self, times: int) -> None:
        """Read the dogs so often, on a connection of its own each time, so that all workers get some."""
        with ThreadPoolExecutor(4) as threads:
            read = threads.map(lambda _: requests.get(f"{self.url}/api/v1/dogs", timeout=30).status_code, range(times))
            assert set(read) == {200}

    def folders(self) -> list[Path]:
        """The folders that the numbers are kept in."""
        return list(self.temporary.glob("kennel-metrics-*"))

    def workers(self) -> list[int]:
        """The numbers of the processes that answer requests."""
        assert self.server.process
        process = self.server.process.pid
        return [int(number) for number in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


@pytest.fixture
def measured(make_server: MakeServer, tmp_path: Path) -> MeasuredServer:
    return MeasuredServer(make_server, tmp_path)


@BOTH_ENGINES
def test_counts_are_exact_over_two_workers(measured: MeasuredServer) -> None:
    measured.get_dogs(200)

    assert len(measured.workers()) == 2
    assert measured.value("kennel_http_requests_total", **DOGS) == 200
    assert measured.value("kennel_http_request_seconds_count", **DOGS) == 200
    assert measured.value("kennel_http_request_seconds_bucket", **DOGS, le="+Inf") == 200
    assert measured.value("kennel_database_queries_total", statement="select", outcome="ok") == 200
    assert measured.value("kennel_database_query_seconds_count", statement="select") == 200
    (folder,) = measured.folders()
    assert len(list(folder.glob("counter_*.db"))) == 2  # both have counted


def test_a_label_is_never_what_a_client_chose(measured: MeasuredServer) -> None:
    requests.get(f"{measured.url}/user/7", timeout=30)
    requests.get(f"{measured.url}/swordfish", timeout=30)
    requests.request("SWORDFISH", f"{measured.url}/api/v1/dogs", timeout=30)

    of_users = {"method": "GET", "route": "/user/<id:user_id>", "status": "404"}
    assert measured.value("kennel_http_requests_total", **of_users) == 1
    assert measured.value("kennel_http_requests_total", method="GET", route="(no route)", status="404") == 1
    assert "swordfish" not in measured.metrics().lower()


def test_logins_are_counted_by_how_they_ended(measured: MeasuredServer) -> None:
    assert measured.value("kennel_logins_total", outcome="ok") == 0
    requests.post(f"{measured.url}/user/register", json=ANNA, timeout=30)
    login = {"username": "Anna", "password": PASSWORD}

    for _ in range(2):
        requests.post(f"{measured.url}/user/login", json=login, timeout=30)
    for _ in range(13):
        requests.post(f"{measured.url}/user/login", json={**login, "password": "not this one"}, timeout=30)

    outcomes = ("ok", "wrong", "limited", "busy", "failed")
    assert [measured.value("kennel_logins_total", outcome=outcome) for outcome in outcomes] == [2, 10, 3, 0, 0]


def test_the_seconds_of_pictures_are_told_by_where_they_come_from(measured: MeasuredServer) -> None:
    photo = (PHOTOS / "grace_hopper.jpg").read_bytes()
    requests.post(f"{measured.url}/user/register", json=ANNA, timeout=30)
    bob = {**ANNA, "username": "Bob", "email": "bob@example.com"}
    requests.post(f"{measured.url}/user/register", data=bob, files={"file": ("me.jpg", photo)}, timeout=30)

    for source in ("default", "upload"):
        assert measured.value("kennel_picture_seconds_count", source=source) == 1
        assert (measured.value("kennel_picture_seconds_sum", source=source) or 0) > 0


def test_a_killed_worker_takes_no_counts_with_it(measured: MeasuredServer) -> None:
    measured.get_dogs(40)
    before = measured.workers()

    os.kill(before[0], signal.SIGKILL)
    while len(set(measured.workers()) - {before[0]}) < 2 or before[0] in measured.workers():
        time.sleep(0.02)  # another process: there is no event to wait for
    measured.get_dogs(40)

    assert measured.value("kennel_http_requests_total", **DOGS) == 80


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_ends_all_processes_and_leaves_no_folder(measured: MeasuredServer, number: int) -> None:
    measured.get_dogs(10)
    processes = measured.workers()
    assert len(measured.folders()) == 1
    process = measured.server.process
    assert process

    process.send_signal(number)

    assert process.wait(timeout=10) == 0
    assert measured.folders() == []
    assert [number for number in processes if Path(f"/proc/{number}").exists()] == []
    with pytest.raises(requests.ConnectionError):
        measured.metrics()


def test_each_start_counts_anew(measured: MeasuredServer) -> None:
    measured.get_dogs(10)
    measured.server.kill()  # as by a power cut, so its folder stays

    measured.server.start()
    measured.get_dogs(5)

    assert measured.value("kennel_http_requests_total", **DOGS) == 5


def test_they_are_served_at_their_address_and_port_alone(measured: MeasuredServer) -> None:
    assert requests.get(f"{measured.url}/metrics", timeout=30).status_code == 404
    assert requests.get(f"http://127.0.0.1:{measured.port}/", timeout=30).status_code == 404
    assert requests.post(f"http://127.0.0.1:{measured.port}/metrics", timeout=30).status_code == 501


def test_prometheus_own_format_is_spoken_too(measured: MeasuredServer) -> None:
    answer = requests.get(
        f"http://127.0.0.1:{measured.port}/metrics",
        headers={"Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"},
        timeout=30,
    )

    assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.text.endswith("# EOF\n")


def test_they_are_off_by_default(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server(TMPDIR=str(tmp_path)).start()

    assert requests.get(f"{server.url}/metrics", timeout=30).status_code == 404
    assert list(tmp_path.glob("kennel-metrics-*")) == []
    assert listening(server) == {server.port}


def test_a_port_that_is_taken_stops_the_start_with_one_line(make_server: MakeServer, server: Server) -> None:
    with pytest.raises(RuntimeError) as refused:
        make_server("second", METRICS_PORT=str(server.port)).start()

    assert str(refused.value).splitlines()[-1] == (
        f"METRICS_PORT: can't listen on 127.0.0.1:{server.port} (Address already in use). For example: 9464"
    )
    assert "Traceback" not in str(refused.value)


@POSTGRESQL_ONLY
def test_connections_in_use_are_summed_over_the_workers_that_live(make_server: MakeServer, tmp_path: Path) -> None:
    measured = MeasuredServer(make_server, tmp_path, DATABASE_POOL_SIZE="7")
    url = measured.server.settings["DATABASE_URL"]
    with psycopg.connect(url) as connection, ThreadPoolExecutor(3) as threads:
        connection.execute("LOCK TABLE dogs IN ACCESS EXCLUSIVE MODE")
        lost = [threads.submit(requests.get, f"{measured.url}/api/v1/dogs", timeout=60) for _ in range(3)]
        measured.wait_for("kennel_database_connections_in_use", 3)
        assert measured.value("kennel_database_connections_limit") == 14

        for worker in measured.workers():
            os.kill(worker, signal.SIGKILL)

        measured.wait_for("kennel_database_connections_in_use", 0)
        measured.wait_for("kennel_database_connections_limit", 14)
        assert all(isinstance(get.exception(), requests.ConnectionError) for get in lost)


def listening(server: Server) -> set[int]:
    """The ports that the processes of a server listen on, by the kernel's table of sockets (proc(5), /proc/net/tcp)."""
    assert server.process
    process = server.process.pid
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    sockets = {
        os.readlink(handle) for number in (process, *children) for handle in Path(f"/proc/{number}/fd").iterdir()
    }
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets}
