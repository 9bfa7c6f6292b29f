"""Prometheus metrics: exact over all workers, bounded label values, on a separate port, removed with the server."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from .engines import BOTH_ENGINES, POSTGRESQL_ONLY
from .factories import PASSWORD, PHOTOS
from .live_server import Server, free_port, wait_until, worker_pids


def has_ipv6() -> bool:
    """Return whether this machine has an IPv6 loopback address."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


MakeServer = Callable[..., Server]
NEEDS_IPV6 = pytest.mark.skipif(not has_ipv6(), reason="This machine has no IPv6 loopback address.")
ANNA = {"username": "Anna", "email": "anna@example.com", "password": PASSWORD}
DOGS = {"method": "GET", "route": "/api/v1/dogs", "status": "200"}


class MeasuredServer:
    """A server with metrics and a temporary directory that no other server uses."""

    def __init__(self, make_server: MakeServer, tmp_path: Path, **settings: str) -> None:
        self.temp_folder = tmp_path / "temporary"
        self.temp_folder.mkdir()
        self.port = free_port()
        self.server = make_server(METRICS_PORT=str(self.port), TMPDIR=str(self.temp_folder), **settings).start()
        self.url = self.server.url

    def scrape(self) -> str:
        """Return the metrics in the Prometheus text format."""
        response = requests.get(f"http://127.0.0.1:{self.port}/metrics", timeout=30)
        assert response.status_code == 200
        return response.text

    def get_value(self, name: str, **labels: str) -> float | None:
        """Return the value of a sample, or None if no sample has this name and these labels."""
        families = text_string_to_metric_families(self.scrape())
        samples = [sample for family in families for sample in family.samples]
        values = [sample.value for sample in samples if sample.name == name and sample.labels == labels]
        return values[0] if values else None

    def wait_for(self, name: str, value: float) -> None:
        """Wait until a sample without labels has this value."""
        wait_until(lambda: self.get_value(name) == value, f"{name} of {value}")

    def get_dogs(self, times: int) -> None:
        """List the dogs this many times, on a new connection each, so that all workers get requests."""
        with ThreadPoolExecutor(4) as threads:
            statuses = threads.map(
                lambda _: requests.get(f"{self.url}/api/v1/dogs", timeout=30).status_code, range(times)
            )
            assert set(statuses) == {200}

    def metric_folders(self) -> list[Path]:
        """Return the directories in which workers store their metrics."""
        return list(self.temp_folder.glob("kennel-metrics-*"))

    def worker_pids(self) -> list[int]:
        """Return the process ids of the workers."""
        return worker_pids(self.server)


@pytest.fixture
def measured(make_server: MakeServer, tmp_path: Path) -> MeasuredServer:
    return MeasuredServer(make_server, tmp_path)


@BOTH_ENGINES
def test_counters_are_summed_over_two_workers(measured: MeasuredServer) -> None:
    measured.get_dogs(200)

    assert len(measured.worker_pids()) == 2
    assert measured.get_value("kennel_http_requests_total", **DOGS) == 200
    assert measured.get_value("kennel_http_request_duration_seconds_count", **DOGS) == 200
    assert measured.get_value("kennel_http_request_duration_seconds_bucket", **DOGS, le="+Inf") == 200
    assert measured.get_value("kennel_database_queries_total", statement="select", outcome="ok") == 200
    assert measured.get_value("kennel_database_query_duration_seconds_count", statement="select") == 200
    (folder,) = measured.metric_folders()
    assert len(list(folder.glob("counter_*.db"))) == 2  # one per worker


def test_labels_never_contain_client_input(measured: MeasuredServer) -> None:
    requests.get(f"{measured.url}/user/7", timeout=30)
    requests.get(f"{measured.url}/swordfish", timeout=30)
    requests.request("SWORDFISH", f"{measured.url}/api/v1/dogs", timeout=30)

    user_route = {"method": "GET", "route": "/user/<id:user_id>", "status": "404"}
    assert measured.get_value("kennel_http_requests_total", **user_route) == 1
    assert measured.get_value("kennel_http_requests_total", method="GET", route="(no route)", status="404") == 1
    assert "swordfish" not in measured.scrape().lower()


def test_logins_are_counted_by_outcome(measured: MeasuredServer) -> None:
    assert measured.get_value("kennel_logins_total", outcome="ok") == 0
    requests.post(f"{measured.url}/user/register", json=ANNA, timeout=30)
    login = {"username": "Anna", "password": PASSWORD}

    for _ in range(2):
        requests.post(f"{measured.url}/user/login", json=login, timeout=30)
    for _ in range(13):
        requests.post(f"{measured.url}/user/login", json={**login, "password": "not this one"}, timeout=30)

    outcomes = ("ok", "wrong", "limited", "busy", "failed")
    assert [measured.get_value("kennel_logins_total", outcome=outcome) for outcome in outcomes] == [2, 10, 3, 0, 0]


def test_picture_durations_are_labelled_by_source(measured: MeasuredServer) -> None:
    photo = (PHOTOS / "grace_hopper.jpg").read_bytes()
    requests.post(f"{measured.url}/user/register", json=ANNA, timeout=30)
    bob = {**ANNA, "username": "Bob", "email": "bob@example.com"}
    requests.post(f"{measured.url}/user/register", data=bob, files={"file": ("me.jpg", photo)}, timeout=30)

    for source in ("default", "upload"):
        assert measured.get_value("kennel_picture_duration_seconds_count", source=source) == 1
        assert (measured.get_value("kennel_picture_duration_seconds_sum", source=source) or 0) > 0


def test_killed_worker_keeps_its_counts(measured: MeasuredServer) -> None:
    measured.get_dogs(40)
    before = measured.worker_pids()

    os.kill(before[0], signal.SIGKILL)
    wait_until(lambda: len(set(measured.worker_pids()) - {before[0]}) == 2, "new worker")
    measured.get_dogs(40)

    assert measured.get_value("kennel_http_requests_total", **DOGS) == 80


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_shutdown_ends_all_processes_and_removes_folder(measured: MeasuredServer, number: int) -> None:
    measured.get_dogs(10)
    processes = measured.worker_pids()
    assert len(measured.metric_folders()) == 1
    process = measured.server.process
    assert process

    process.send_signal(number)

    assert process.wait(timeout=10) == 0
    assert measured.metric_folders() == []
    assert [number for number in processes if Path(f"/proc/{number}").exists()] == []
    with pytest.raises(requests.ConnectionError):
        measured.scrape()


def test_restart_resets_counters(measured: MeasuredServer) -> None:
    measured.get_dogs(10)
    measured.server.kill()  # like a power failure: the directory stays

    measured.server.start()
    measured.get_dogs(5)

    assert measured.get_value("kennel_http_requests_total", **DOGS) == 5


def test_metrics_are_served_only_on_their_own_port(measured: MeasuredServer) -> None:
    assert requests.get(f"{measured.url}/metrics", timeout=30).status_code == 404
    # prometheus_client serves the metrics at any path, and nothing else.
    for path in ("/metrics", "/", "/no/such/path"):
        response = requests.get(f"http://127.0.0.1:{measured.port}{path}", timeout=30)
        families = list(text_string_to_metric_families(response.text))
        assert families
        assert all(family.name.startswith("kennel_") for family in families)
    assert requests.post(f"http://127.0.0.1:{measured.port}/metrics", timeout=30).status_code == 405


def test_workers_do_not_listen_on_the_metrics_port(measured: MeasuredServer) -> None:
    assert measured.server.process
    assert listening_ports(measured.server.process.pid) == {measured.port}
    # A worker that is being forked has not closed the metrics port yet.
    wait_until(lambda: listening_ports(*measured.worker_pids()) == {measured.server.port}, "worker without that port")


@NEEDS_IPV6
def test_metrics_port_supports_ipv6(make_server: MakeServer, tmp_path: Path) -> None:
    measured = MeasuredServer(make_server, tmp_path, HOST="::")

    response = requests.get(f"http://[::1]:{measured.port}/metrics", timeout=30)

    assert response.status_code == 200
    assert "kennel_logins_total" in response.text


def test_accept_openmetrics_returns_openmetrics(measured: MeasuredServer) -> None:
    response = requests.get(
        f"http://127.0.0.1:{measured.port}/metrics",
        headers={"Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"},
        timeout=30,
    )

    assert response.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert response.text.endswith("# EOF\n")


def test_metrics_are_off_by_default(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server(TMPDIR=str(tmp_path)).start()

    assert requests.get(f"{server.url}/metrics", timeout=30).status_code == 404
    assert list(tmp_path.glob("kennel-metrics-*")) == []
    assert server.process
    assert listening_ports(server.process.pid, *worker_pids(server)) == {server.port}


def test_metrics_port_in_use_fails_startup(make_server: MakeServer, server: Server) -> None:
    with pytest.raises(RuntimeError) as error:
        make_server("second", METRICS_PORT=str(server.port)).start()

    assert str(error.value).splitlines()[-1] == (
        f"METRICS_PORT: cannot bind to 127.0.0.1:{server.port} (Address already in use). For example: 9464"
    )
    assert "Traceback" not in str(error.value)


@POSTGRESQL_ONLY
def test_connections_in_use_are_summed_over_live_workers(make_server: MakeServer, tmp_path: Path) -> None:
    measured = MeasuredServer(make_server, tmp_path, DATABASE_POOL_SIZE="7")
    url = measured.server.settings["DATABASE_URL"]
    with psycopg.connect(url) as connection, ThreadPoolExecutor(3) as threads:
        connection.execute("LOCK TABLE dogs IN ACCESS EXCLUSIVE MODE")
        requests_in_flight = [threads.submit(requests.get, f"{measured.url}/api/v1/dogs", timeout=60) for _ in range(3)]
        measured.wait_for("kennel_database_connections_in_use", 3)
        assert measured.get_value("kennel_database_connections_limit") == 14

        for worker in measured.worker_pids():
            os.kill(worker, signal.SIGKILL)

        measured.wait_for("kennel_database_connections_in_use", 0)
        measured.wait_for("kennel_database_connections_limit", 14)
        assert all(isinstance(get.exception(), requests.ConnectionError) for get in requests_in_flight)


def listening_ports(*processes: int) -> set[int]:
    """Return the TCP ports on which these processes listen over IPv4 (proc_pid_net(5))."""
    sockets = set()
    for handle in (handle for number in processes for handle in Path(f"/proc/{number}/fd").iterdir()):
        with suppress(FileNotFoundError):  # closed in the meantime
            sockets.add(os.readlink(handle))
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets}
