"""The real server: worker processes, races, kills and shutdown with requests in flight."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests

from .engines import BOTH_ENGINES
from .factories import PASSWORD, PHOTOS
from .live_server import ROOT, Server, wait_until, worker_pids

LOGIN = {"username": "Anna", "password": PASSWORD}


def registration_fields(username: str, email: str | None = None) -> dict[str, str]:
    return {"username": username, "email": email or f"{username.lower()}@example.com", "password": PASSWORD}


def send_concurrently(calls: list[Callable[[], requests.Response]]) -> list[requests.Response]:
    """Send all requests at the same time, and return the responses."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], requests.Response]) -> requests.Response:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def get_health(server: Server) -> str:
    """Return the response of the health check, None while the server starts."""
    try:
        return requests.get(f"{server.url}/health/live", timeout=60).text
    except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):  # it may stop while it responds
        return ""


@BOTH_ENGINES
def test_concurrent_duplicate_username_one_wins(
    make_server: Callable[..., Server],
) -> None:
    photo = (PHOTOS / "grace_hopper.jpg").read_bytes()
    with make_server(RATELIMIT_ENABLED="false") as server:
        url = f"{server.url}/user/register"
        answers = send_concurrently(
            [
                lambda number=number: requests.post(
                    url,
                    data=registration_fields("Anna" if number % 2 else "ANNA", f"anna{number}@example.com"),
                    files={"file": ("me.jpg", photo, "image/jpeg")},
                    timeout=60,
                )
                for number in range(40)
            ]
        )

        assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 39}
        (winner,) = [answer.json()["data"] for answer in answers if answer.status_code == 201]
        image = winner["image"]
        assert {path.name for path in server.uploads.iterdir()} == {image, image.replace(".", "_2x.")}
        lost = next(answer.json() for answer in answers if answer.status_code == 409)
        assert lost["error"]["fields"] == {"username": ["A user with that name already exists"]}


@BOTH_ENGINES
def test_concurrent_duplicate_email_one_wins(server: Server) -> None:
    url = f"{server.url}/user/register"
    answers = send_concurrently(
        [
            lambda n=n: requests.post(url, json=registration_fields(f"Anna{n}", "anna@example.com"), timeout=60)
            for n in range(10)
        ]
    )

    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 9}
    assert len(list(server.uploads.iterdir())) == 2


def test_sigint_exits_promptly(make_server: Callable[..., Server]) -> None:
    server = make_server(WEB_CONCURRENCY="1")
    for _ in range(5):  # a worker that received two signals hung in one of three runs
        with server:
            os.killpg(server.process.pid, signal.SIGINT)  # as a terminal does, to the entire group
            assert server.process.wait(timeout=8) == 0


def test_killed_main_process_takes_its_workers_along(server: Server) -> None:
    assert server.process
    workers = worker_pids(server)

    server.process.kill()
    server.process.wait()

    wait_until(lambda: not any(Path(f"/proc/{number}").exists() for number in workers), "end of the workers")
    assert server.start().is_ready()  # the port is free again


def test_sigterm_to_the_whole_group_logs_no_error(server: Server) -> None:
    assert server.process

    os.killpg(server.process.pid, signal.SIGTERM)

    assert server.process.wait(timeout=30) == 0
    assert "ERROR" not in server.output()


def test_idle_connections_do_not_fill_the_server(server: Server) -> None:
    with ExitStack() as stack:
        for _ in range(1100):
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=60))

        assert [requests.get(f"{server.url}/health/live", timeout=60).status_code for _ in range(20)] == [200] * 20


@BOTH_ENGINES
def test_sigkill_loses_no_acknowledged_write(server: Server) -> None:
    client = requests.Session()
    assert client.post(f"{server.url}/user/register", json=registration_fields("Anna"), timeout=60).status_code == 201
    answered: list[dict[str, Any]] = []
    enough = threading.Event()

    def write() -> None:
        number = 0
        while True:
            number += 1
            try:
                dog = {"name": f"Dog {number}", "breed": "Beagle"}
                answer = client.post(f"{server.url}/api/v1/dogs", json=dog, timeout=60)
            except requests.RequestException:
                return
            if answer.status_code == 201:
                answered.append(answer.json()["data"])
            if len(answered) == 50:
                enough.set()

    writer = threading.Thread(target=write)
    writer.start()
    assert enough.wait(timeout=60)
    server.kill()
    writer.join()
    server.start()

    profile = client.get(f"{server.url}/user/profile", timeout=60)
    assert profile.json()["data"]["username"] == "Anna"
    assert requests.get(f"{server.url}/profile_pics/{profile.json()['data']['image']}", timeout=60).status_code == 200
    for dog in answered:
        assert requests.get(f"{server.url}/api/v1/dogs/{dog['id']}", timeout=60).json()["data"] == dog


def test_sigterm_answers_requests_in_flight(server: Server) -> None:
    body = '{"username": "Anna", "password": "correct horse"}'
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        head = (
            "POST /user/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        connection.sendall((head + body[:10]).encode())
        # The request is being handled: the next one, on another connection, is answered after it was accepted.
        assert requests.get(f"{server.url}/health/live", timeout=60).ok
        assert server.process
        server.process.send_signal(signal.SIGTERM)
        connection.sendall(body[10:].encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))

    assert answer.startswith(b"HTTP/1.1 401")
    assert server.process.wait(timeout=30) == 0


@BOTH_ENGINES
def test_sessions_are_shared_across_processes(server: Server) -> None:
    client = requests.Session()
    client.post(f"{server.url}/user/register", json=registration_fields("Anna"), timeout=60)
    cookies = dict(client.cookies)

    def profile() -> int:
        # A new connection each time, so that both processes get some.
        return requests.get(f"{server.url}/user/profile", cookies=cookies, timeout=60).status_code

    assert {profile() for _ in range(20)} == {200}
    client.post(f"{server.url}/user/logout", timeout=60)
    assert {profile() for _ in range(20)} == {401}


@BOTH_ENGINES
def test_failed_logins_are_counted_across_processes(server: Server) -> None:
    requests.post(f"{server.url}/user/register", json=registration_fields("Anna"), timeout=60)
    wrong = {**LOGIN, "password": "not this one"}
    answers = send_concurrently([lambda: requests.post(f"{server.url}/user/login", json=wrong, timeout=60)] * 16)

    assert Counter(answer.status_code for answer in answers) == {401: 10, 429: 6}
    right = requests.post(f"{server.url}/user/login", json=LOGIN, timeout=60)
    assert right.status_code == 429
    assert 0 < int(right.headers["Retry-After"]) <= 300


@BOTH_ENGINES
def test_concurrent_first_starts_both_serve(make_server: Callable[..., Server]) -> None:
    one = make_server()
    other = make_server(DATABASE_URL=one.settings["DATABASE_URL"])
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(Server.start, (one, other)))
    requests.post(f"{one.url}/user/register", json=registration_fields("Anna"), timeout=60)
    assert requests.post(f"{other.url}/user/login", json=LOGIN, timeout=60).status_code == 200


@pytest.mark.system
def test_invalid_setting_exits_with_one_line() -> None:
    ended = subprocess.run(
        [sys.executable, "run.py"],
        cwd=ROOT,
        env={**os.environ, "PORT": "eighty"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 1
    assert ended.stderr == "PORT: must be an integer from 1 to 65535. For example: 8000\n"


def test_port_in_use_exits_with_one_line(server: Server, tmp_path: Path) -> None:
    second = Server(tmp_path / "second", PORT=str(server.port))
    process = subprocess.run(
        [sys.executable, "run.py"],
        cwd=ROOT,
        env={**os.environ, **second.settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert process.returncode == 1
    assert process.stderr == (
        f"HOST, PORT: cannot bind to 127.0.0.1:{server.port} (Address already in use)."
        " For example: 127.0.0.1 and 8001\n"
    )


@pytest.mark.system
@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1"])
def test_dev_refuses_non_loopback_host(tmp_path: Path, host: str) -> None:
    refused = Server(tmp_path / "dev", HOST=host)

    with pytest.raises(RuntimeError, match="HOST: --dev serves this machine only"):
        refused.start("--dev")


@pytest.mark.system
def test_dev_reloads_on_code_change(tmp_path: Path) -> None:
    project = tmp_path / "project"
    for part in ("api", "models", "schemas"):
        (project / part).parent.mkdir(exist_ok=True)
        subprocess.run(["cp", "-r", ROOT / part, project / part], check=True)
    for name in ("run.py", "pyproject.toml"):
        (project / name).write_text((ROOT / name).read_text())
    server = Server(tmp_path / "server", root=project)
    try:
        server.start("--dev")
        system = project / "api" / "resources" / "system.py"
        system.write_text(system.read_text().replace('{"live": True}', '{"live": False}'))
        while "false" not in get_health(server):
            pass
        console = requests.get(f"{server.url}/console", timeout=60)
        assert console.status_code == 404
        assert "Kennel" not in console.headers.get("Server", "")
    finally:
        server.kill()


@pytest.mark.system
def test_invalid_host_exits_with_one_line(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"HOST, PORT: cannot bind to a\.\.b:\d+ \(no such host\)"):
        Server(tmp_path / "server", HOST="a..b").start()
