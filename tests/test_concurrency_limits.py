"""Concurrency limits of CPU-bound work: permits, the bounded queue, 503 beyond it, and reads unaffected by it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from queue import SimpleQueue

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api.http.concurrency import WORKER_THREADS, ConcurrencyLimiter, limiters
from api.http.errors import Unavailable
from api.pictures import store
from api.pictures.store import picture_store
from models.db.file_lock import exclusive_lock

from .engines import BOTH_ENGINES
from .factories import PASSWORD, add_dog, api_error, multipart_form, photo, register, run_concurrently, saturate

MakeApp = Callable[..., Flask]
LOGIN = {"username": "Anna", "password": PASSWORD}


@pytest.mark.parametrize(("permits", "queue"), [(1, 0), (1, 3), (2, 0), (3, 5)])
def test_limiter_admits_queues_then_rejects(permits: int, queue: int) -> None:
    limiter = ConcurrencyLimiter(permits, queue)
    events: SimpleQueue[str] = SimpleQueue()
    finish = threading.Event()
    running: list[int] = []
    running_counts: list[int] = []

    def work() -> str:
        try:
            with limiter.acquire():
                running.append(1)
                running_counts.append(len(running))
                events.put("started")
                finish.wait()
                running.pop()
                return "done"
        except Unavailable:
            events.put("rejected")
            return "rejected"

    excess = 4
    with ThreadPoolExecutor(permits + queue + excess) as pool, ExitStack() as stack:
        stack.callback(finish.set)
        tasks = [pool.submit(work) for _ in range(permits + queue + excess)]
        # Nothing finishes before all permits are taken and all excess tasks have been rejected.
        first_events = Counter(events.get(timeout=10) for _ in range(permits + excess))
        finish.set()
        results = Counter(task.result() for task in tasks)

    assert first_events == {"started": permits, "rejected": excess}
    assert results == {"done": permits + queue, "rejected": excess}
    assert max(running_counts) == permits


def test_limiter_releases_on_success_and_error() -> None:
    limiter = ConcurrencyLimiter(1, queue=0)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), limiter.acquire():
            _ = 1 / 0
    with limiter.acquire():
        pass

    assert limiter.running.acquire(blocking=False)
    with saturate(limiter) as available:
        assert available == 1


@pytest.mark.parametrize(
    ("cores", "workers", "permits"), [(1, 1, 1), (2, 1, 2), (8, 2, 4), (8, 8, 1), (2, 8, 1), (64, 1, None)]
)
def test_limiter_capacity_scales_with_workers(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch, cores: int, workers: int, permits: int | None
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    limiter = limiters.get(make_app(WEB_CONCURRENCY=workers)).cpu

    acquired = 0
    while limiter.running.acquire(blocking=False):
        acquired += 1

    assert permits is None or acquired == permits
    with saturate(limiter) as capacity:
        assert acquired < capacity < WORKER_THREADS


CPU_BOUND_REQUESTS: dict[str, Callable[[FlaskClient], TestResponse]] = {
    "login": lambda client: client.post("/user/login", json=LOGIN),
    "login of unknown user": lambda client: client.post("/user/login", json={**LOGIN, "username": "Unknown"}),
    "registration": lambda client: client.post(
        "/user/register", json={"username": "Carl", "email": "carl@example.com", "password": PASSWORD}
    ),
    "current password": lambda client: client.delete("/user/profile", json={"current_password": PASSWORD}),
    "new password": lambda client: client.put(
        "/user/password", json={"current_password": PASSWORD, "new_password": PASSWORD}
    ),
    "picture": lambda client: client.put("/user/picture", **multipart_form(("file", "a.jpg", photo()[0].read()))),
    "default picture": lambda client: client.delete("/user/picture"),
}


@pytest.mark.parametrize("name", CPU_BOUND_REQUESTS)
def test_full_queue_returns_503_with_retry_after(app: Flask, anna: FlaskClient, name: str) -> None:
    with saturate(limiters.get(app).cpu):
        rejected = CPU_BOUND_REQUESTS[name](anna)
        profile = anna.get("/user/profile")
    retried = CPU_BOUND_REQUESTS[name](anna)

    assert api_error(rejected) == (503, "unavailable")
    assert int(rejected.headers["Retry-After"]) > 0
    assert profile.status_code == 200
    assert retried.status_code == (401 if name == "login of unknown user" else 201 if name == "registration" else 200)


def test_rejected_login_is_not_counted_as_failure(
    app: Flask, anna: FlaskClient, uploads: Callable[[], set[str]]
) -> None:
    files = uploads()

    with saturate(limiters.get(app).cpu):
        for _ in range(12):
            assert CPU_BOUND_REQUESTS["login"](anna).status_code == 503
        assert CPU_BOUND_REQUESTS["registration"](anna).status_code == 503

    assert uploads() == files
    assert anna.get("/user/2").status_code == 404
    assert CPU_BOUND_REQUESTS["login"](app.test_client()).status_code == 200


def test_saturated_limiter_does_not_block_light_requests(app: Flask, anna: FlaskClient) -> None:
    dog = add_dog(anna)
    image = anna.get("/user/profile").json["data"]["image"]
    limiters.set(app, limiters.get(app)._replace(cpu=ConcurrencyLimiter(1, queue=1)))
    login_statuses: SimpleQueue[int] = SimpleQueue()
    permit = ExitStack()
    permit.enter_context(limiters.get(app).cpu.acquire())

    def log_in() -> int:
        status = app.test_client().post("/user/login", json=LOGIN).status_code
        login_statuses.put(status)
        return status

    def send_light_requests() -> list[int]:
        with permit:
            # One login waits and the other was rejected, so the queue is full as well.
            assert login_statuses.get(timeout=10) == 503
            paths = ("/user/profile", "/user/1", "/api/v1/dogs", f"/api/v1/dogs/{dog['id']}", f"/profile_pics/{image}")
            statuses = [anna.get(path).status_code for path in (*paths, "/health/live")]
            statuses.append(anna.patch(f"/api/v1/dogs/{dog['id']}", json={"name": "Max"}).status_code)
            statuses.append(anna.post("/user/logout").status_code)
            return statuses

    *logins, statuses = run_concurrently(app, log_in, log_in, send_light_requests)

    assert statuses == [200] * 8
    assert Counter(logins) == {200: 1, 503: 1}


@BOTH_ENGINES
def test_concurrent_registrations_return_201_or_503(app: Flask) -> None:
    limiters.set(app, limiters.get(app)._replace(cpu=ConcurrencyLimiter(1, queue=2)))

    def register_user(number: int) -> int:
        body = {"username": f"u{number}", "email": f"u{number}@example.com", "password": PASSWORD}
        return app.test_client().post("/user/register", json=body).status_code

    statuses = Counter(run_concurrently(app, *[lambda n=n: register_user(n) for n in range(20)]))

    assert set(statuses) <= {201, 503}
    assert statuses[201] >= 1
    assert statuses.total() == 20
    register(app, "Anna")


def test_uploads_waiting_for_lock_do_not_block_logins(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    anna = register(app, "Anna")
    uploads = picture_store.get(app).files.lock_directory
    session = anna.get_cookie("kennel_session")
    assert session
    finished_uploads: list[int] = []
    waiting = threading.Event()

    def signal_and_lock(folder: Path, timeout: float) -> AbstractContextManager[None]:
        waiting.set()
        return exclusive_lock(folder, timeout)

    monkeypatch.setattr(store, "exclusive_lock", signal_and_lock)

    def upload() -> int:
        client = app.test_client()
        client.set_cookie("kennel_session", session.value)
        status = client.put("/user/picture", data={"file": photo()}).status_code
        finished_uploads.append(status)
        return status

    def log_in() -> tuple[int, list[int]]:
        assert waiting.wait(20)
        status = app.test_client().post("/user/login", json=LOGIN).status_code
        finished_before = list(finished_uploads)
        lock.close()
        return status, finished_before

    lock = ExitStack()
    lock.enter_context(exclusive_lock(uploads))  # as another process that stores a picture would hold it
    timeout = threading.Timer(20, lock.close)  # so that a blocked login fails the test instead of hanging it
    timeout.start()
    *upload_statuses, (login_status, finished_before) = run_concurrently(app, *[upload] * 6, log_in)
    timeout.cancel()

    assert (login_status, finished_before) == (200, [])
    assert upload_statuses == [200] * 6


# --- Fair shares ---


def test_client_holds_at_most_its_share() -> None:
    limiter = ConcurrencyLimiter(4, queue=0, account=1, address=2)
    with limiter.acquire(address="a", account="x"):
        with pytest.raises(Unavailable), limiter.acquire(address="b", account="x"):
            pass
        with limiter.acquire(address="a", account="y"):
            with pytest.raises(Unavailable), limiter.acquire(address="a", account="z"):
                pass
            third, fourth = limiter.acquire(address="b", account="z"), limiter.acquire(address="b")
            with third, fourth, pytest.raises(Unavailable), limiter.acquire(address="c"):
                pass

    with limiter.acquire(address="a", account="x"):
        assert len(limiter.admitted) == 3  # those that hold no place are forgotten


def test_permit_that_does_not_come_free_returns_503(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.http.concurrency.MAX_WAIT_SECONDS", 0.01)
    limiter = ConcurrencyLimiter(1, queue=1)

    with limiter.acquire(), pytest.raises(Unavailable), limiter.acquire():
        pass


@BOTH_ENGINES
def test_logins_of_one_account_leave_room_for_another(app: Flask, anna: FlaskClient, bob: FlaskClient) -> None:
    def log_in(name: str) -> int:
        return app.test_client().post("/user/login", json={"username": name, "password": PASSWORD}).status_code

    flood = [lambda: log_in("Anna")] * 40
    *_, first, second = run_concurrently(app, *flood, lambda: log_in("Bob"), lambda: log_in("Bob"))

    assert (first, second) == (200, 200)
