"""How often: guessing passwords and flooding registrations come to an end, for everybody in the same way."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api.http.concurrency import ConcurrencyLimiter, limiters
from models import RateLimit
from models.base import utc_now

from .engines import BOTH_ENGINES
from .factories import PASSWORD, api_error, bearer_headers, register, run_concurrently
from .live_server import Server

pytestmark = BOTH_ENGINES

MakeApp = Callable[..., Flask]
TOO_MANY = (429, "too-many-requests")
WRONG = (401, "unauthorized")


def login(app: Flask, password: str = "wrong", address: str = "192.0.2.1", **who: str) -> TestResponse:
    """The answer to a login by a client of its own, at this address."""
    client = app.test_client()
    body = {**(who or {"username": "Anna"}), "password": password}
    return client.post("/user/login", json=body, environ_overrides={"REMOTE_ADDR": address})


def guess(app: Flask, times: int, **options: str) -> None:
    """Wrong passwords, each of which is answered as such."""
    for _ in range(times):
        assert api_error(login(app, **options)) == WRONG


def confirm(client: FlaskClient, password: str, verb: str = "password") -> TestResponse:
    """The answer to one of the calls that need the current password."""
    if verb == "password":
        return client.put("/user/password", json={"current_password": password, "new_password": PASSWORD})
    if verb == "email":
        return client.patch("/user/profile", json={"current_password": password, "email": "new@example.com"})
    return client.delete("/user/profile", json={"current_password": password})


def move_windows(by: timedelta) -> None:
    """Let the windows of all counts end earlier or later."""
    for counter in RateLimit.select():
        RateLimit.update(expires_at=counter.expires_at + by).where(RateLimit.key == counter.key).execute()


# Failed logins


def test_after_ten_failures_an_account_is_closed_for_right_passwords_too(app: Flask, anna: FlaskClient) -> None:
    guess(app, 10)

    for password in ("wrong", PASSWORD):
        answer = login(app, password)
        assert api_error(answer) == TOO_MANY
        assert 0 < int(answer.headers["Retry-After"]) <= 300
        assert answer.headers["Retry-After"] in answer.json["status"]["message"]
        assert "Set-Cookie" not in answer.headers


def test_failures_by_name_and_by_email_count_together_in_any_spelling(app: Flask, anna: FlaskClient) -> None:
    ways = [{"username": "Anna"}, {"email": "anna@example.com"}, {"username": " aNNa"}, {"email": "ANNA@example.com"}]
    for number in range(10):
        guess(app, 1, **ways[number % 4])

    for who in [*ways, {"username": "anna", "email": "anna@example.com"}]:
        assert api_error(login(app, PASSWORD, **who)) == TOO_MANY


@pytest.mark.parametrize(
    "ways",
    [
        [{"username": "Nobody"}],
        [{"email": "nobody@example.com"}],
        # An account is found in any case, so if unknown names counted each spelling for itself, that would tell.
        [{"username": "Nobody"}, {"username": "nobody"}, {"username": " NOBODY "}],
        [{"email": "nobody@example.com"}, {"email": "NoBody@Example.com"}],
    ],
    ids=["name", "email", "spellings of a name", "spellings of an email"],
)
def test_an_unknown_name_is_closed_after_as_many_failures_as_a_known_one(
    app: Flask, ways: list[dict[str, str]]
) -> None:
    for number in range(10):
        guess(app, 1, **ways[number % len(ways)])

    for who in ways:
        assert api_error(login(app, **who)) == TOO_MANY


def test_failures_count_from_all_addresses_and_for_one_account_alone(
    app: Flask, anna: FlaskClient, bob: FlaskClient
) -> None:
    for number in range(10):
        guess(app, 1, address=f"192.0.2.{number}")

    assert api_error(login(app, PASSWORD, address="198.51.100.1")) == TOO_MANY
    assert login(app, PASSWORD, username="Bob").status_code == 200


def test_after_a_hundred_failures_an_address_is_closed(app: Flask, anna: FlaskClient) -> None:
    for number in range(100):
        guess(app, 1, username=f"Nobody {number}")

    assert api_error(login(app, username="Another")) == TOO_MANY
    assert api_error(login(app, PASSWORD)) == TOO_MANY
    assert login(app, PASSWORD, address="192.0.2.2").status_code == 200


def test_right_passwords_are_not_counted_nor_do_they_reset_the_count(app: Flask, anna: FlaskClient) -> None:
    guess(app, 9)
    for _ in range(12):
        assert login(app, PASSWORD).status_code == 200
    guess(app, 1)

    assert api_error(login(app, PASSWORD)) == TOO_MANY


@pytest.mark.parametrize(
    "body",
    [
        {"username": "Anna"},
        {"username": "Anna", "password": ""},
        {"username": "Anna", "password": 1},
        {"password": "x"},
    ],
)
def test_a_login_that_is_no_guess_is_not_counted(app: Flask, anna: FlaskClient, body: dict[str, Any]) -> None:
    for _ in range(11):
        assert api_error(app.test_client().post("/user/login", json=body)) == (422, "validation")

    assert login(app, PASSWORD).status_code == 200


def test_who_is_logged_in_goes_on_while_the_account_is_under_attack(app: Flask, anna: FlaskClient) -> None:
    token = bearer_headers("Anna")
    guess(app, 10)

    assert anna.get("/user/profile").status_code == 200
    assert anna.post("/api/v1/dogs", json={"name": "Rex", "breed": "Pug"}).status_code == 201
    assert app.test_client().get("/user/profile", headers=token).status_code == 200
    assert confirm(anna, PASSWORD).status_code == 200


def test_an_account_opens_again_when_the_window_ends(app: Flask, anna: FlaskClient) -> None:
    guess(app, 10)
    move_windows(timedelta(hours=1))
    closed = login(app, PASSWORD)
    move_windows(timedelta(hours=-2))

    assert api_error(closed) == TOO_MANY
    assert int(closed.headers["Retry-After"]) > 3600  # it tells the real end of the window
    assert login(app, PASSWORD).status_code == 200
    guess(app, 10)
    assert api_error(login(app)) == TOO_MANY


def test_the_window_lasts_five_minutes_from_the_first_failure(app: Flask, anna: FlaskClient) -> None:
    RateLimit.delete_counters()  # the registration
    began = utc_now()
    guess(app, 1)
    first = {counter.key: counter.expires_at for counter in RateLimit.select()}
    guess(app, 1)

    assert {counter.key: counter.expires_at for counter in RateLimit.select()} == first
    assert len(first) == 2
    assert all(began <= ends - timedelta(minutes=5) <= utc_now() for ends in first.values())


def test_no_name_and_no_address_of_mail_is_kept_with_the_counts(app: Flask, anna: FlaskClient) -> None:
    guess(app, 1, username="Nobody Else")
    guess(app, 1, email="nobody@example.com")
    guess(app, 1)

    kept = " ".join(counter.key for counter in RateLimit.select())
    assert kept
    assert not [word for word in ("Nobody", "nobody", "example.com", "Anna", "wrong") if word in kept]


# The current password, asked for again


@pytest.mark.parametrize("verb", ["password", "email", "account"])
def test_after_ten_wrong_current_passwords_no_right_one_is_taken(app: Flask, anna: FlaskClient, verb: str) -> None:
    for number in range(10):
        assert api_error(confirm(anna, "wrong", ("password", "email", "account")[number % 3])) == (403, "forbidden")

    answer = confirm(anna, PASSWORD, verb)

    assert api_error(answer) == TOO_MANY
    assert 0 < int(answer.headers["Retry-After"]) <= 300
    assert anna.get("/user/profile").json["data"]["email"] == "anna@example.com"


def test_guesses_of_the_current_password_and_logins_are_limited_apart(app: Flask, anna: FlaskClient) -> None:
    for _ in range(10):
        confirm(anna, "wrong")
    assert api_error(confirm(anna, PASSWORD)) == TOO_MANY
    assert login(app, PASSWORD).status_code == 200

    guess(app, 10)
    assert api_error(login(app, PASSWORD)) == TOO_MANY


def test_right_and_missing_current_passwords_are_not_counted_nor_do_they_reset_the_count(anna: FlaskClient) -> None:
    for _ in range(9):
        assert confirm(anna, "wrong").status_code == 403
    for _ in range(11):
        assert confirm(anna, PASSWORD).status_code == 200
        assert anna.patch("/user/profile", json={"email": "new@example.com"}).status_code == 422
    assert confirm(anna, "wrong").status_code == 403

    assert api_error(confirm(anna, PASSWORD)) == TOO_MANY


# Registrations


def register_and_log_in(app: Flask, body: Any = None, address: str = "192.0.2.1") -> TestResponse:
    """The answer to a registration from this address."""
    return app.test_client().post("/user/register", json=body, environ_overrides={"REMOTE_ADDR": address})


def account(name: str) -> dict[str, str]:
    return {"username": name, "email": f"{name}@example.com", "password": PASSWORD}


def test_of_an_address_thirty_registrations_a_minute_are_looked_at_and_refused_ones_count(app: Flask) -> None:
    bodies = [account("anna"), account("anna"), {}, [], {"username": 1}] * 6
    statuses = Counter(register_and_log_in(app, body).status_code for body in bodies)
    assert statuses == {201: 1, 409: 11, 422: 18}

    answer = register_and_log_in(app, account("bob"))

    assert api_error(answer) == TOO_MANY
    assert 0 < int(answer.headers["Retry-After"]) <= 62  # the rest of a minute, rounded up
    assert register_and_log_in(app, account("bob"), address="192.0.2.2").status_code == 201
    assert login(app, PASSWORD, username="anna").status_code == 200


def test_an_address_may_register_again_when_the_minute_ends(app: Flask) -> None:
    began = utc_now()
    for _ in range(31):
        last = register_and_log_in(app, {})
    assert api_error(last) == TOO_MANY
    (ends,) = (counter.expires_at for counter in RateLimit.select())
    assert began <= ends - timedelta(minutes=1) <= utc_now()
    move_windows(timedelta(minutes=-2))

    assert register_and_log_in(app, account("anna")).status_code == 201


def test_only_registrations_are_counted_as_such(app: Flask) -> None:
    client = app.test_client()
    for _ in range(31):
        client.get("/user/register")
        client.options("/user/register")
        client.post("/user/register", json={}, headers={"Origin": "https://evil.example"})

    assert client.post("/user/register", json=account("anna")).status_code == 201


# Addresses


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("", "not an address", True),
    ],
)
def test_a_caller_is_an_ipv4_address_or_the_64_first_bits_of_an_ipv6_one(
    app: Flask, one: str, other: str, is_same: bool
) -> None:
    for _ in range(30):
        assert register_and_log_in(app, {}, address=one).status_code == 422

    assert register_and_log_in(app, {}, address=one).status_code == 429
    assert register_and_log_in(app, {}, address=other).status_code == (429 if is_same else 422)


# Guesses side by side


class Stopped(ConcurrencyLimiter):
    """Slots before which passwords wait until they are let in."""

    def __init__(self) -> None:
        super().__init__(1, queue=8)
        self.arrived = threading.Event()
        self.opened = threading.Event()

    @contextmanager
    def acquire(self) -> Iterator[None]:
        self.arrived.set()
        self.opened.wait()
        with super().acquire():
            yield


@pytest.mark.parametrize("password", [PASSWORD, "wrong"])
def test_a_password_that_is_checked_after_the_limit_was_reached_is_not_answered(
    app: Flask, anna: FlaskClient, password: str
) -> None:
    guess(app, 1)
    slots = Stopped()
    limiters.set(app, limiters.get(app)._replace(cpu=slots))

    def reach_the_limit() -> None:
        assert slots.arrived.wait(timeout=60)
        RateLimit.update(count=10).execute()
        slots.opened.set()

    answer, _ = run_concurrently(app, lambda: login(app, password), reach_the_limit)

    assert api_error(answer) == TOO_MANY
    assert "Set-Cookie" not in answer.headers


def test_of_forty_wrong_guesses_at_once_ten_are_answered(app: Flask, anna: FlaskClient) -> None:
    limiters.set(app, limiters.get(app)._replace(cpu=ConcurrencyLimiter(4, queue=40)))

    answers = run_concurrently(app, *[lambda: login(app)] * 40)

    assert Counter(api_error(answer) for answer in answers) == {WRONG: 10, TOO_MANY: 30}
    assert api_error(login(app, PASSWORD)) == TOO_MANY


def test_of_forty_wrong_guesses_at_once_at_two_processes_at_most_ten_are_answered(server: Server) -> None:
    requests.post(f"{server.url}/user/register", json=account("anna"), timeout=60)
    barrier = threading.Barrier(40)
    answers: list[int] = []

    def one() -> None:
        barrier.wait()
        body = {"username": "anna", "password": "wrong"}
        answers.append(requests.post(f"{server.url}/user/login", json=body, timeout=60).status_code)

    threads = [threading.Thread(target=one) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    # Some find the queue for checking passwords full, and learn nothing either.
    assert set(answers) <= {401, 429, 503}
    assert len(answers) == 40
    assert answers.count(401) <= 10
    while answers.count(401) < 10:
        body = {"username": "anna", "password": "wrong"}
        answers.append(requests.post(f"{server.url}/user/login", json=body, timeout=60).status_code)
        assert answers[-1] == 401
    last = requests.post(f"{server.url}/user/login", json={"username": "anna", "password": PASSWORD}, timeout=60)
    assert api_error(last) == TOO_MANY


def test_two_servers_on_one_database_share_the_counts(server: Server, make_server: Callable[..., Server]) -> None:
    with make_server("other", DATABASE_URL=server.settings["DATABASE_URL"], WEB_CONCURRENCY="1") as other:
        answers = [
            requests.post(f"{one.url}/user/register", json={}, timeout=60).status_code
            for _ in range(16)
            for one in (server, other)
        ]

    assert answers == [422] * 30 + [429] * 2


def test_counts_are_never_lost_between_threads(app: Flask) -> None:
    answers = run_concurrently(app, *[lambda: register_and_log_in(app, {}).status_code] * 40)

    assert Counter(answers) == {422: 30, 429: 10}


# Where it is switched off


@pytest.mark.parametrize("value", ["false", False])
def test_nothing_is_limited_where_the_setting_says_so(make_app: MakeApp, value: Any) -> None:
    app = make_app(RATELIMIT_ENABLED=value)
    anna = register(app, "Anna")

    guess(app, 12)
    assert {confirm(anna, "wrong").status_code for _ in range(12)} == {403}
    assert {register_and_log_in(app, {}).status_code for _ in range(32)} == {422}
    assert login(app, PASSWORD).status_code == 200
    assert RateLimit.select().count() == 0


def test_an_application_that_limits_does_so_beside_one_that_does_not(make_app: MakeApp) -> None:
    make_app(RATELIMIT_ENABLED=False)
    app = make_app()

    assert [register_and_log_in(app, {}).status_code for _ in range(31)][-1] == 429


# Where the counts can't be reached


def test_logins_and_registrations_are_503_while_the_counts_can_not_be_reached(make_app: MakeApp) -> None:
    app = make_app(RATELIMIT_STORAGE_URI="redis://127.0.0.1:1")  # nobody listens there

    for answer in (register_and_log_in(app, account("anna")), login(app)):
        assert api_error(answer) == (503, "unavailable")
        assert int(answer.headers["Retry-After"]) > 0
    assert app.test_client().get("/api/v1/dogs").status_code == 200
