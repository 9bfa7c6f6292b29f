"""Places for heavy work: so many at once, so many in the queue, and the reads go on."""

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

from api.http.concurrency import WORKER_THREADS, ConcurrencyLimiter, limiters
from api.http.errors import Unavailable
from api.pictures import store
from api.pictures.store import picture_store
from models.db.file_lock import exclusive_lock

from .engines import BOTH_ENGINES
from .factories import PASSWORD, add_dog, api_error, multipart_form, photo, register, run_concurrently, saturate

MakeApp = Callable[..., Flask]
LOGIN = {"username": "Anna", "password": PASSWORD}


@pytest.mark.parametrize(("places", "queue"), [(1, 0), (1, 3), (2, 0), (3, 5)])
def test_so_many_are_in_so_many_wait_and_the_others_are_refused(places: int, queue: int) -> None:
    slots = ConcurrencyLimiter(places, queue)
    entered: SimpleQueue[str] = SimpleQueue()
    leave = threading.Event()
    inside: list[int] = []
    most: list[int] = []

    def visit() -> str:
        try:
            with slots.acquire():
                inside.append(1)
                most.append(len(inside))
                entered.put("in")
                leave.wait()
                inside.pop()
                return "served"
        except Unavailable:
            entered.put("refused")
            return "refused"

    others = 4
    with ThreadPoolExecutor(places + queue + others) as pool, ExitStack() as stack:
        stack.callback(leave.set)
        visits = [pool.submit(visit) for _ in range(places + queue + others)]
        # Nobody leaves before all places are taken and all who find no room have been refused.
        seen = Counter(entered.get(timeout=10) for _ in range(places + others))
        leave.set()
        ended = Counter(visit.result() for visit in visits)

    assert seen == {"in": places, "refused": others}
    assert ended == {"served": places + queue, "refused": others}
    assert max(most) == places


def test_a_place_is_free_again_when_its_work_ends_or_fails() -> None:
    slots = ConcurrencyLimiter(1, queue=0)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), slots.acquire():
            _ = 1 / 0
    with slots.acquire():
        pass

    assert slots.running.acquire(blocking=False)
    with saturate(slots) as held:
        assert held == 1


@pytest.mark.parametrize(
    ("cores", "workers", "places"), [(1, 1, 1), (2, 1, 2), (8, 2, 4), (8, 8, 1), (2, 8, 1), (64, 1, None)]
)
def test_the_cores_are_shared_among_the_worker_processes_and_threads_are_left_for_everything_else(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch, cores: int, workers: int, places: int | None
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    slots = limiters.get(make_app(WEB_CONCURRENCY=workers)).cpu

    taken = 0
    while slots.running.acquire(blocking=False):
        taken += 1

    assert places is None or taken == places
    with saturate(slots) as room:
        assert taken < room < WORKER_THREADS


HEAVY: dict[str, Callable[[FlaskClient], object]] = {
    "login": lambda client: client.post("/user/login", json=LOGIN),
    "login of nobody": lambda client: client.post("/user/login", json={**LOGIN, "username": "Nobody"}),
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


@pytest.mark.parametrize("work", HEAVY)
def test_heavy_work_beyond_the_queue_is_503_with_a_time_to_try_again_and_done_later(
    app: Flask, anna: FlaskClient, work: str
) -> None:
    with saturate(limiters.get(app).cpu):
        refused = HEAVY[work](anna)
        profile = anna.get("/user/profile")
    done = HEAVY[work](anna)

    assert api_error(refused) == (503, "unavailable")
    assert int(refused.headers["Retry-After"]) > 0
    assert profile.status_code == 200
    assert done.status_code == (401 if work == "login of nobody" else 201 if work == "registration" else 200)


def test_what_is_refused_for_want_of_a_place_counts_as_no_wrong_password_and_leaves_nothing(
    app: Flask, anna: FlaskClient, uploads: Callable[[], set[str]]
) -> None:
    files = uploads()

    with saturate(limiters.get(app).cpu):
        for _ in range(12):
            assert HEAVY["login"](anna).status_code == 503
        assert HEAVY["registration"](anna).status_code == 503

    assert uploads() == files
    assert anna.get("/user/2").status_code == 404
    assert HEAVY["login"](app.test_client()).status_code == 200


def test_reads_and_light_writes_are_answered_while_all_places_are_held(app: Flask, anna: FlaskClient) -> None:
    dog = add_dog(anna)
    image = anna.get("/user/profile").json["data"]["image"]
    limiters.set(app, limiters.get(app)._replace(cpu=ConcurrencyLimiter(1, queue=1)))
    ended: SimpleQueue[int] = SimpleQueue()
    held = ExitStack()
    held.enter_context(limiters.get(app).cpu.acquire())

    def log_in() -> int:
        status = app.test_client().post("/user/login", json=LOGIN).status_code
        ended.put(status)
        return status

    def read() -> list[int]:
        with held:
            # One login waits and the other found no room, so the queue is full as well.
            assert ended.get(timeout=10) == 503
            paths = ("/user/profile", "/user/1", "/api/v1/dogs", f"/api/v1/dogs/{dog['id']}", f"/profile_pics/{image}")
            statuses = [anna.get(path).status_code for path in (*paths, "/health/live")]
            statuses.append(anna.patch(f"/api/v1/dogs/{dog['id']}", json={"name": "Max"}).status_code)
            statuses.append(anna.post("/user/logout").status_code)
            return statuses

    *logins, statuses = run_concurrently(app, log_in, log_in, read)

    assert statuses == [200] * 8
    assert Counter(logins) == {200: 1, 503: 1}


@BOTH_ENGINES
def test_a_crowd_of_registrations_is_served_or_told_to_come_back(app: Flask) -> None:
    limiters.set(app, limiters.get(app)._replace(cpu=ConcurrencyLimiter(1, queue=2)))

    def register_and_log_in(number: int) -> int:
        body = {"username": f"u{number}", "email": f"u{number}@example.com", "password": PASSWORD}
        return app.test_client().post("/user/register", json=body).status_code

    statuses = Counter(run_concurrently(app, *[lambda n=n: register_and_log_in(n) for n in range(20)]))

    assert set(statuses) <= {201, 503}
    assert statuses[201] >= 1
    assert statuses.total() == 20
    register(app, "Anna")


def test_uploads_that_wait_for_each_other_stop_no_login(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    anna = register(app, "Anna")
    uploads = picture_store.get(app).files.lock_directory
    session = anna.get_cookie("session")
    assert session
    done: list[int] = []
    waiting = threading.Event()

    def seen_alone_in(folder: Path) -> AbstractContextManager[None]:
        waiting.set()
        return exclusive_lock(folder)

    monkeypatch.setattr(store, "exclusive_lock", seen_alone_in)

    def upload() -> int:
        client = app.test_client()
        client.set_cookie("session", session.value)
        status = client.put("/user/picture", data={"file": photo()}).status_code
        done.append(status)
        return status

    def log_in() -> tuple[int, list[int]]:
        assert waiting.wait(20)
        status = app.test_client().post("/user/login", json=LOGIN).status_code
        before = list(done)
        held.close()
        return status, before

    held = ExitStack()
    held.enter_context(exclusive_lock(uploads))  # as a large picture in another process would hold it
    give_up = threading.Timer(20, held.close)  # so that a login that is in their way fails, and does not hang
    give_up.start()
    *sent, (login, done_before) = run_concurrently(app, *[upload] * 6, log_in)
    give_up.cancel()

    assert (login, done_before) == (200, [])
    assert sent == [200] * 6
