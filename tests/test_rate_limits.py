"""Rate limits of failed logins, wrong current passwords and registrations, per account and address."""

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
from .transfer_fixtures import run_command

pytestmark = BOTH_ENGINES

MakeApp = Callable[..., Flask]
TOO_MANY_REQUESTS = (429, "too-many-requests")
UNAUTHORIZED = (401, "unauthorized")
LOGIN = {"username": "Anna", "password": PASSWORD}


def login(app: Flask, password: str = "wrong", address: str = "192.0.2.1", **credentials: str) -> TestResponse:
    """Log in with a new client at this address, and return the response."""
    client = app.test_client()
    body = {**(credentials or {"username": "Anna"}), "password": password}
    return client.post("/user/login", json=body, environ_overrides={"REMOTE_ADDR": address})


def fail_logins(app: Flask, times: int, **options: str) -> None:
    """Send this many logins with a wrong password, each of which must return 401."""
    for _ in range(times):
        assert api_error(login(app, **options)) == UNAUTHORIZED


def confirm_password(client: FlaskClient, password: str, verb: str = "password") -> TestResponse:
    """Send one of the requests that need the current password, and return the response."""
    if verb == "password":
        return client.put("/user/password", json={"current_password": password, "new_password": PASSWORD})
    if verb == "email":
        return client.patch("/user/profile", json={"current_password": password, "email": "new@example.com"})
    return client.delete("/user/profile", json={"current_password": password})


def shift_windows(by: timedelta) -> None:
    """Shift the ends of all windows."""
    for counter in RateLimit.select():
        RateLimit.update(expires_at=counter.expires_at + by).where(RateLimit.key == counter.key).execute()


# Failed logins


def test_ten_failed_logins_limit_account_for_any_password(app: Flask, anna: FlaskClient) -> None:
    fail_logins(app, 10)

    for password in ("wrong", PASSWORD):
        response = login(app, password)
        assert api_error(response) == TOO_MANY_REQUESTS
        assert 0 < int(response.headers["Retry-After"]) <= 300
        assert response.headers["Retry-After"] in response.json["status"]["message"]
        assert "Set-Cookie" not in response.headers


def test_failures_are_counted_by_what_was_typed(app: Flask, anna: FlaskClient) -> None:
    # A counter of the account would tell which name belongs to which address.
    for name in ("Anna", " aNNa"):
        fail_logins(app, 5, username=name)

    assert api_error(login(app, PASSWORD, username="ANNA")) == TOO_MANY_REQUESTS
    assert login(app, PASSWORD, email="anna@example.com").status_code == 200


def test_own_browser_is_not_locked_out_by_others(app: Flask, anna: FlaskClient) -> None:
    own = app.test_client()
    assert own.post("/user/login", json=LOGIN).status_code == 200
    fail_logins(app, 10)

    assert api_error(login(app, PASSWORD)) == TOO_MANY_REQUESTS
    assert own.post("/user/login", json=LOGIN).status_code == 200


def test_failures_of_own_browser_are_limited_too(app: Flask, anna: FlaskClient) -> None:
    own = app.test_client()
    own.post("/user/login", json=LOGIN)
    wrong = {**LOGIN, "password": "not this one"}

    assert [own.post("/user/login", json=wrong).status_code for _ in range(11)] == [401] * 10 + [429]
    assert login(app, PASSWORD).status_code == 200  # from elsewhere


def test_device_cookie_is_good_for_its_account_only(app: Flask, anna: FlaskClient, bob: FlaskClient) -> None:
    own = app.test_client()
    own.post("/user/login", json=LOGIN)
    fail_logins(app, 10, username="Bob")

    assert api_error(own.post("/user/login", json={**LOGIN, "username": "Bob"})) == TOO_MANY_REQUESTS
    own.set_cookie("kennel_device", f"{'0' * 32}.{'0' * 64}", path="/user/login")
    fail_logins(app, 10)
    assert api_error(own.post("/user/login", json=LOGIN)) == TOO_MANY_REQUESTS


def test_users_unlock_forgets_failures(app: Flask, anna: FlaskClient) -> None:
    for name in ("Anna", "ANNA@example.com"):
        fail_logins(app, 10)
        fail_logins(app, 10, email="anna@example.com")

        assert run_command(app, "users", "unlock", name).output == "Anna can log in again.\n"
        assert login(app, PASSWORD).status_code == login(app, PASSWORD, email="anna@example.com").status_code == 200
    assert run_command(app, "users", "unlock", "Nobody").output == (
        "Error: No account has this username or email address.\n"
    )


@pytest.mark.parametrize(
    "logins",
    [
        [{"username": "Unknown"}],
        [{"email": "unknown@example.com"}],
        # Names of accounts are case-insensitive. If unknown ones counted per spelling, that would reveal them.
        [{"username": "Unknown"}, {"username": "unknown"}, {"username": " UNKNOWN "}],
        [{"email": "unknown@example.com"}, {"email": "UnKnown@Example.com"}],
    ],
    ids=["name", "email", "spellings of a name", "spellings of an email"],
)
def test_unknown_account_is_limited_like_existing_one(app: Flask, logins: list[dict[str, str]]) -> None:
    for number in range(10):
        fail_logins(app, 1, **logins[number % len(logins)])

    for credentials in logins:
        assert api_error(login(app, **credentials)) == TOO_MANY_REQUESTS


def test_account_limit_counts_failures_from_all_addresses(app: Flask, anna: FlaskClient, bob: FlaskClient) -> None:
    for number in range(10):
        fail_logins(app, 1, address=f"192.0.2.{number}")

    assert api_error(login(app, PASSWORD, address="198.51.100.1")) == TOO_MANY_REQUESTS
    assert login(app, PASSWORD, username="Bob").status_code == 200


def test_hundred_failed_logins_limit_address(app: Flask, anna: FlaskClient) -> None:
    for number in range(100):
        fail_logins(app, 1, username=f"Unknown {number}")

    assert api_error(login(app, username="Another")) == TOO_MANY_REQUESTS
    assert api_error(login(app, PASSWORD)) == TOO_MANY_REQUESTS
    assert login(app, PASSWORD, address="192.0.2.2").status_code == 200


def test_successful_logins_neither_count_nor_reset(app: Flask, anna: FlaskClient) -> None:
    fail_logins(app, 9)
    for _ in range(12):
        assert login(app, PASSWORD).status_code == 200
    fail_logins(app, 1)

    assert api_error(login(app, PASSWORD)) == TOO_MANY_REQUESTS


@pytest.mark.parametrize(
    "body",
    [
        {"username": "Anna"},
        {"username": "Anna", "password": ""},
        {"username": "Anna", "password": 1},
        {"password": "x"},
    ],
)
def test_invalid_login_request_is_not_counted(app: Flask, anna: FlaskClient, body: dict[str, Any]) -> None:
    for _ in range(11):
        assert api_error(app.test_client().post("/user/login", json=body)) == (422, "validation")

    assert login(app, PASSWORD).status_code == 200


def test_existing_sessions_work_while_account_is_limited(app: Flask, anna: FlaskClient) -> None:
    token = bearer_headers("Anna")
    fail_logins(app, 10)

    assert anna.get("/user/profile").status_code == 200
    assert anna.post("/api/v1/dogs", json={"name": "Rex", "breed": "Pug"}).status_code == 201
    assert app.test_client().get("/user/profile", headers=token).status_code == 200
    assert confirm_password(anna, PASSWORD).status_code == 200


def test_account_limit_ends_with_window(app: Flask, anna: FlaskClient) -> None:
    fail_logins(app, 10)
    shift_windows(timedelta(hours=1))
    limited = login(app, PASSWORD)
    shift_windows(timedelta(hours=-2))

    assert api_error(limited) == TOO_MANY_REQUESTS
    assert int(limited.headers["Retry-After"]) > 3600  # the actual end of the window
    assert login(app, PASSWORD).status_code == 200
    fail_logins(app, 10)
    assert api_error(login(app)) == TOO_MANY_REQUESTS


def test_window_is_five_minutes_from_first_failure(app: Flask, anna: FlaskClient) -> None:
    RateLimit.delete_counters()  # of the registration
    before = utc_now()
    fail_logins(app, 1)
    first = {counter.key: counter.expires_at for counter in RateLimit.select()}
    fail_logins(app, 1)

    assert {counter.key: counter.expires_at for counter in RateLimit.select()} == first
    assert len(first) == 2
    assert all(before <= expires_at - timedelta(minutes=5) <= utc_now() for expires_at in first.values())


def test_counter_keys_contain_no_personal_data(app: Flask, anna: FlaskClient) -> None:
    fail_logins(app, 1, username="Unknown User")
    fail_logins(app, 1, email="unknown@example.com")
    fail_logins(app, 1)

    keys = " ".join(counter.key for counter in RateLimit.select())
    assert keys
    assert not [word for word in ("Unknown", "unknown", "example.com", "Anna", "wrong") if word in keys]


# Current password


@pytest.mark.parametrize("verb", ["password", "email", "account"])
def test_ten_wrong_current_passwords_limit_account(app: Flask, anna: FlaskClient, verb: str) -> None:
    for number in range(10):
        response = confirm_password(anna, "wrong", ("password", "email", "account")[number % 3])
        assert api_error(response) == (403, "forbidden")

    response = confirm_password(anna, PASSWORD, verb)

    assert api_error(response) == TOO_MANY_REQUESTS
    assert 0 < int(response.headers["Retry-After"]) <= 300
    assert anna.get("/user/profile").json["data"]["email"] == "anna@example.com"


def test_current_password_and_login_limits_are_separate(app: Flask, anna: FlaskClient) -> None:
    for _ in range(10):
        confirm_password(anna, "wrong")
    assert api_error(confirm_password(anna, PASSWORD)) == TOO_MANY_REQUESTS
    assert login(app, PASSWORD).status_code == 200

    fail_logins(app, 10)
    assert api_error(login(app, PASSWORD)) == TOO_MANY_REQUESTS


def test_only_wrong_passwords_count(anna: FlaskClient) -> None:
    for _ in range(9):
        assert confirm_password(anna, "wrong").status_code == 403
    for _ in range(11):
        assert confirm_password(anna, PASSWORD).status_code == 200
        assert anna.patch("/user/profile", json={"email": "new@example.com"}).status_code == 422
    assert confirm_password(anna, "wrong").status_code == 403

    assert api_error(confirm_password(anna, PASSWORD)) == TOO_MANY_REQUESTS


# Registrations


def send_registration(app: Flask, body: Any = None, address: str = "192.0.2.1") -> TestResponse:
    """Send a registration from this address, and return the response."""
    return app.test_client().post("/user/register", json=body, environ_overrides={"REMOTE_ADDR": address})


def registration_fields(name: str) -> dict[str, str]:
    return {"username": name, "email": f"{name}@example.com", "password": PASSWORD}


def test_registration_rate_limit_per_ip(app: Flask) -> None:
    bodies = [registration_fields("anna"), registration_fields("anna"), {}, [], {"username": 1}] * 6
    statuses = Counter(send_registration(app, body).status_code for body in bodies)
    assert statuses == {201: 1, 409: 11, 422: 18}

    response = send_registration(app, registration_fields("bob"))

    assert api_error(response) == TOO_MANY_REQUESTS
    assert 0 < int(response.headers["Retry-After"]) <= 62  # the rest of a minute, rounded up
    assert send_registration(app, registration_fields("bob"), address="192.0.2.2").status_code == 201
    assert login(app, PASSWORD, username="anna").status_code == 200


def test_registration_limit_ends_after_one_minute(app: Flask) -> None:
    before = utc_now()
    for _ in range(31):
        last = send_registration(app, {})
    assert api_error(last) == TOO_MANY_REQUESTS
    (expires_at,) = (counter.expires_at for counter in RateLimit.select())
    assert before <= expires_at - timedelta(minutes=1) <= utc_now()
    shift_windows(timedelta(minutes=-2))

    assert send_registration(app, registration_fields("anna")).status_code == 201


def test_only_registration_attempts_are_counted(app: Flask) -> None:
    client = app.test_client()
    for _ in range(31):
        client.get("/user/register")
        client.options("/user/register")
        client.post("/user/register", json={}, headers={"Origin": "https://evil.example"})

    assert client.post("/user/register", json=registration_fields("anna")).status_code == 201


# Addresses


@pytest.mark.parametrize(
    ("address", "other", "is_same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("", "not an address", True),
    ],
)
def test_limit_key_is_ipv4_address_or_ipv6_64_prefix(app: Flask, address: str, other: str, is_same: bool) -> None:
    for _ in range(30):
        assert send_registration(app, {}, address=address).status_code == 422

    assert send_registration(app, {}, address=address).status_code == 429
    assert send_registration(app, {}, address=other).status_code == (429 if is_same else 422)


# Concurrency


class BlockingLimiter(ConcurrencyLimiter):
    """A limiter that blocks every caller until `opened` is set."""

    def __init__(self) -> None:
        super().__init__(1, queue=8)
        self.arrived = threading.Event()
        self.opened = threading.Event()

    @contextmanager
    def acquire(self, **client: str) -> Iterator[None]:
        self.arrived.set()
        self.opened.wait()
        with super().acquire(**client):
            yield


@pytest.mark.parametrize("password", [PASSWORD, "wrong"])
def test_concurrent_guesses_past_limit_return_429(app: Flask, anna: FlaskClient, password: str) -> None:
    fail_logins(app, 1)
    limiter = BlockingLimiter()
    limiters.set(app, limiters.get(app)._replace(cpu=limiter))

    def reach_limit() -> None:
        assert limiter.arrived.wait(timeout=60)
        RateLimit.update(count=10).execute()
        limiter.opened.set()

    response, _ = run_concurrently(app, lambda: login(app, password), reach_limit)

    assert api_error(response) == TOO_MANY_REQUESTS
    assert "Set-Cookie" not in response.headers


def test_login_limit_holds_across_threads(app: Flask, anna: FlaskClient) -> None:
    limiters.set(app, limiters.get(app)._replace(cpu=ConcurrencyLimiter(4, queue=40)))

    responses = run_concurrently(app, *[lambda: login(app)] * 40)

    assert Counter(api_error(response) for response in responses) == {UNAUTHORIZED: 10, TOO_MANY_REQUESTS: 30}
    assert api_error(login(app, PASSWORD)) == TOO_MANY_REQUESTS


def test_login_limit_holds_across_processes(server: Server) -> None:
    requests.post(f"{server.url}/user/register", json=registration_fields("anna"), timeout=60)
    barrier = threading.Barrier(40)
    responses: list[int] = []

    def guess_concurrently() -> None:
        barrier.wait()
        body = {"username": "anna", "password": "wrong"}
        responses.append(requests.post(f"{server.url}/user/login", json=body, timeout=60).status_code)

    threads = [threading.Thread(target=guess_concurrently) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    # Some are rejected by the full queue of password checks, which reveals nothing either.
    assert set(responses) <= {401, 429, 503}
    assert len(responses) == 40
    assert responses.count(401) <= 10
    while responses.count(401) < 10:
        body = {"username": "anna", "password": "wrong"}
        responses.append(requests.post(f"{server.url}/user/login", json=body, timeout=60).status_code)
        assert responses[-1] == 401
    last = requests.post(f"{server.url}/user/login", json={"username": "anna", "password": PASSWORD}, timeout=60)
    assert api_error(last) == TOO_MANY_REQUESTS


def test_two_servers_share_counters_in_database(server: Server, make_server: Callable[..., Server]) -> None:
    with make_server("other", DATABASE_URL=server.settings["DATABASE_URL"], WEB_CONCURRENCY="1") as other:
        responses = [
            requests.post(f"{target.url}/user/register", json={}, timeout=60).status_code
            for _ in range(16)
            for target in (server, other)
        ]

    assert responses == [422] * 30 + [429] * 2


def test_concurrent_requests_lose_no_count(app: Flask) -> None:
    responses = run_concurrently(app, *[lambda: send_registration(app, {}).status_code] * 40)

    assert Counter(responses) == {422: 30, 429: 10}


# Disabled


@pytest.mark.parametrize("value", ["false", False])
def test_disabled_rate_limits_count_nothing(make_app: MakeApp, value: Any) -> None:
    app = make_app(RATELIMIT_ENABLED=value)
    anna = register(app, "Anna")

    fail_logins(app, 12)
    assert {confirm_password(anna, "wrong").status_code for _ in range(12)} == {403}
    assert {send_registration(app, {}).status_code for _ in range(32)} == {422}
    assert login(app, PASSWORD).status_code == 200
    assert RateLimit.select().count() == 0


def test_rate_limit_setting_is_per_application(make_app: MakeApp) -> None:
    make_app(RATELIMIT_ENABLED=False)
    app = make_app()

    assert [send_registration(app, {}).status_code for _ in range(31)][-1] == 429


# Storage outages


def test_unavailable_counter_storage_returns_503(make_app: MakeApp) -> None:
    app = make_app(RATELIMIT_STORAGE_URI="redis://127.0.0.1:1")  # nothing listens on this port

    for response in (send_registration(app, registration_fields("anna")), login(app)):
        assert api_error(response) == (503, "unavailable")
        assert int(response.headers["Retry-After"]) > 0
    assert app.test_client().get("/api/v1/dogs").status_code == 200
