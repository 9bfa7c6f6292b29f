"""Sessions: the cookie and what it holds, how long a session lives, and everything that ends it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from itsdangerous import TimestampSigner
from werkzeug.test import TestResponse

from models import Session, User

from .engines import BOTH_ENGINES, SQLITE_ONLY
from .factories import PASSWORD, add_dog, interleave, photo, register, sqlite_file, trace_sql

pytestmark = BOTH_ENGINES

ANNA = {"username": "Anna", "password": PASSWORD}
NEW_PASSWORD = {"current_password": PASSWORD, "new_password": "battery staple"}
HTTPS = "https://kennel.example"


def logged_in(app: Flask, **fields: Any) -> FlaskClient:
    """One more client that Anna logs in by."""
    client = app.test_client()
    assert client.post("/user/login", json={**ANNA, **fields}).status_code == 200
    return client


def bearer(app: Flask, key: str | None = None) -> FlaskClient:
    """A client that sends a session's key as its bearer token: this key, or that of a new session of Anna's."""
    if key is None:
        key = Session.start(User.find_by_login("Anna")).key
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {key}"
    return client


def copied(app: Flask, client: FlaskClient) -> FlaskClient:
    """Another client with a copy of the cookie."""
    thief = app.test_client()
    thief.set_cookie("session", client.get_cookie("session").value)
    return thief


def payload_of(app: Flask, client: FlaskClient) -> dict[str, Any]:
    """What a client's cookie says."""
    serializer = app.session_interface.get_signing_serializer(app)
    return serializer.loads(client.get_cookie("session").value)


def status_of(client: FlaskClient) -> int:
    """What the profile answers: 200 to a live session, 401 to a dead one."""
    return client.get("/user/profile").status_code


def let_pass(**time: float) -> None:
    """Let so much time pass for every session, by moving its moments into the past."""
    for session in Session.select():
        for moment in ("created_at", "used_at", "expires_at"):
            setattr(session, moment, getattr(session, moment) - timedelta(**time))
        session.save()


def make_older(app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch, **time: float) -> None:
    """Make a client's cookie older, by signing it once more at an earlier moment."""
    serializer = app.session_interface.get_signing_serializer(app)
    payload, signed_at = serializer.loads(client.get_cookie("session").value, return_timestamp=True)
    moment = int((signed_at - timedelta(**time)).timestamp())
    with monkeypatch.context() as patch:
        patch.setattr(TimestampSigner, "get_timestamp", lambda _: moment)
        client.set_cookie("session", serializer.dumps(payload))


def cookie_of(response: TestResponse) -> tuple[str, dict[str, str]]:
    """The value of the one cookie that an answer sets, and its attributes by their names in lower case."""
    (header,) = response.headers.getlist("Set-Cookie")
    pair, *attributes = header.split("; ")
    split = (attribute.partition("=") for attribute in attributes)
    return pair.removeprefix("session="), {name.lower(): value for name, _, value in split}


# The cookie


@pytest.mark.parametrize("act", ["register", "login", "login-remembered"])
@pytest.mark.parametrize(
    ("public_url", "secure"),
    [
        pytest.param("http://localhost:8000", set(), id="http"),
        pytest.param("", set(), id="default"),
        pytest.param(HTTPS, {"secure"}, id="https"),
    ],
)
def test_the_cookie_is_httponly_lax_for_every_path_and_secure_over_https(
    make_app: Callable[..., Flask], public_url: str, secure: set[str], act: str
) -> None:
    app = make_app(PUBLIC_URL=public_url)
    register(app, "Anna")
    client = app.test_client()
    if act == "register":
        body = {"username": "Carl", "email": "carl@example.com", "password": PASSWORD}
        response = client.post("/user/register", json=body)
    else:
        response = client.post("/user/login", json={**ANNA, "remember": act == "login-remembered"})

    _, attributes = cookie_of(response)

    lifetime = {"expires"} if act == "login-remembered" else set()
    assert set(attributes) == {"httponly", "samesite", "path"} | secure | lifetime
    assert (attributes["samesite"], attributes["path"]) == ("Lax", "/")


@pytest.mark.parametrize("kind", ["json", "data"])
def test_remember_makes_the_cookie_outlive_the_browser_for_30_days(
    app: Flask, client: FlaskClient, anna: FlaskClient, kind: str
) -> None:
    response = client.post("/user/login", **{kind: {**ANNA, "remember": "true"}})

    _, attributes = cookie_of(response)
    age = parsedate_to_datetime(attributes["expires"]) - datetime.now(UTC)
    assert timedelta(days=29, hours=23) < age <= timedelta(days=30, seconds=1)


@pytest.mark.parametrize("remember", [{}, {"remember": False}, {"remember": "false"}], ids=["left-out", "no", "text"])
def test_without_remember_the_cookie_ends_with_the_browser(
    client: FlaskClient, anna: FlaskClient, remember: dict[str, Any]
) -> None:
    _, attributes = cookie_of(client.post("/user/login", json={**ANNA, **remember}))

    assert not {"expires", "max-age"} & set(attributes)


@pytest.mark.parametrize("remember", [False, True])
def test_the_cookie_names_a_random_key_and_no_user(app: Flask, anna: FlaskClient, remember: bool) -> None:
    clients = [logged_in(app, remember=remember) for _ in range(2)]
    payloads = [payload_of(app, client) for client in clients]

    # Besides the key there is one flag: whether the cookie outlives the browser.
    keys = [[value for value in payload.values() if not isinstance(value, bool)] for payload in payloads]
    assert [len(found) for found in keys] == [1, 1]
    assert all(len(base64.urlsafe_b64decode(f"{key}=")) == 32 for found in keys for key in found)
    assert keys[0] != keys[1]


def test_only_the_hash_of_the_key_is_stored(app: Flask, anna: FlaskClient) -> None:
    key = payload_of(app, anna)["_user_id"]
    assert bytes(Session.get().key_hash) == hashlib.sha256(key.encode()).digest()


@SQLITE_ONLY
def test_no_file_of_the_database_holds_the_key(app: Flask, settings: dict[str, Any], anna: FlaskClient) -> None:
    key = payload_of(app, anna)["_user_id"]
    stored = Session.get().key_hash

    # Whole files are read, the write-ahead log too, so that no column and no index is forgotten.
    path = sqlite_file(settings["DATABASE_URL"])
    files = [file.read_bytes() for file in path.parent.glob(f"{path.name}*")]
    assert any(bytes(stored) in content for content in files)
    assert not any(key.encode() in content for content in files)


def test_a_login_gives_a_new_key_and_ends_the_session_it_replaces(app: Flask, anna: FlaskClient) -> None:
    before, thief = payload_of(app, anna), copied(app, anna)

    anna.post("/user/login", json=ANNA)

    assert payload_of(app, anna) != before
    assert (status_of(anna), status_of(thief)) == (200, 401)


def test_a_login_as_somebody_else_takes_over(app: Flask, anna: FlaskClient, bob: FlaskClient) -> None:
    bob.post("/user/login", json=ANNA)

    assert bob.get("/user/profile").json["data"]["username"] == "Anna"


@pytest.mark.parametrize(
    "value",
    ["", "x", "eyJfdXNlcl9pZCI6IjEifQ.x.x", "e30.aRtT6g.", "\u00e9", "a" * 3000],
    ids=["empty", "letter", "forged", "unsigned", "not-ascii", "long"],
)
def test_a_cookie_that_we_never_set_is_401(client: FlaskClient, anna: FlaskClient, value: str) -> None:
    client.set_cookie("session", value)

    assert status_of(client) == 401


@pytest.mark.parametrize("value", ["1", "Anna", ""], ids=["id", "name", "nobody"])
def test_a_signed_cookie_that_names_a_user_is_401(app: Flask, anna: FlaskClient, value: str) -> None:
    thief = app.test_client()
    with thief.session_transaction() as session:
        session["_user_id"] = value

    assert status_of(thief) == 401


def test_a_cookie_that_another_secret_signed_is_401(make_app: Callable[..., Flask]) -> None:
    anna = register(make_app(), "Anna")
    other = make_app(SECRET_KEY="another key for the tests, no secret either")

    assert status_of(copied(other, anna)) == 401


# How long it lives


def test_a_session_ends_on_the_server_after_24_hours_without_use(anna: FlaskClient) -> None:
    let_pass(hours=23, minutes=59)
    assert status_of(anna) == 200

    # The use just now is noted; the next ones within 5 minutes are not, so they may add as much to the 24 hours.
    let_pass(hours=24, minutes=5, seconds=1)
    assert status_of(anna) == 401


def test_a_session_in_use_lives_on(anna: FlaskClient) -> None:
    for _ in range(5):
        let_pass(hours=23)
        assert status_of(anna) == 200


def test_a_use_that_was_not_noted_counts_for_the_24_hours_too(anna: FlaskClient) -> None:
    for _ in range(2):  # first after the login, then after a use that was noted
        let_pass(minutes=4, seconds=50)
        assert status_of(anna) == 200

        let_pass(hours=23, minutes=59)
        assert status_of(anna) == 200


def test_a_session_in_use_outlives_the_signature_of_its_cookie(
    app: Flask, anna: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As in a browser that is never closed, and used on each day. The row says when a session ends, not the signature.
    for _ in range(3):
        let_pass(hours=1)
        make_older(app, anna, monkeypatch, days=20)
        assert status_of(anna) == 200


def test_a_remembered_session_lives_30_days_though_it_is_not_used(app: Flask, anna: FlaskClient) -> None:
    client = logged_in(app, remember=True)

    let_pass(days=29, hours=23, minutes=59)
    assert (status_of(client), status_of(anna)) == (200, 401)

    let_pass(minutes=2)
    assert status_of(client) == 401


def test_a_dead_session_can_log_out_and_in_again(anna: FlaskClient) -> None:
    let_pass(days=2)

    assert anna.post("/user/logout").status_code == 200
    assert anna.post("/user/login", json=ANNA).status_code == 200
    assert status_of(anna) == 200


def test_dead_sessions_do_not_pile_up(app: Flask, anna: FlaskClient) -> None:
    let_pass(days=2)

    logged_in(app)

    assert Session.select().count() == 1


# What it costs


@pytest.mark.parametrize("by", ["cookie", "bearer"])
def test_session_and_user_are_found_by_one_query_and_nothing_is_written(app: Flask, anna: FlaskClient, by: str) -> None:
    client = anna if by == "cookie" else bearer(app)
    let_pass(minutes=4, seconds=50)
    statements: list[str] = []

    with trace_sql(app, statements.append):
        assert status_of(client) == 200

    assert [statement.split()[0] for statement in statements] == ["SELECT"]


@pytest.mark.parametrize("remember", [False, True])
def test_its_use_is_noted_once_in_5_minutes(app: Flask, anna: FlaskClient, remember: bool) -> None:
    client = logged_in(app, remember=remember)
    let_pass(minutes=5, seconds=1)
    statements: list[str] = []

    with trace_sql(app, statements.append):
        assert [status_of(client) for _ in range(3)] == [200, 200, 200]

    writes = [statement for statement in statements if not statement.startswith("SELECT")]
    assert [statement.split()[:2] for statement in writes] == [["UPDATE", '"sessions"']]


# Log out


def test_logout_kills_a_copied_cookie_and_clears_the_browsers_own(app: Flask, anna: FlaskClient) -> None:
    thief = copied(app, anna)
    assert status_of(thief) == 200

    response = anna.post("/user/logout")

    assert (response.status_code, response.json) == (200, {"data": {}, "status": {"code": 200, "message": "Success"}})
    assert anna.get_cookie("session") is None
    assert (status_of(anna), status_of(thief)) == (401, 401)


@pytest.mark.parametrize("path", ["/user/logout", "/user/logout/"])
def test_logout_is_200_when_nobody_is_logged_in(client: FlaskClient, path: str) -> None:
    assert [client.post(path).json["status"]["code"] for _ in range(2)] == [200, 200]


def test_logout_ends_a_copied_cookies_session_by_the_copy_too(app: Flask, anna: FlaskClient) -> None:
    copied(app, anna).post("/user/logout")

    assert status_of(anna) == 401


def test_logout_leaves_the_other_sessions_alone(app: Flask, anna: FlaskClient, bob: FlaskClient) -> None:
    other = logged_in(app)

    anna.post("/user/logout")

    assert [status_of(client) for client in (other, bob)] == [200, 200]


def test_logout_by_bearer_ends_that_session(app: Flask, anna: FlaskClient) -> None:
    client = bearer(app)

    assert client.post("/user/logout").status_code == 200
    assert (status_of(client), status_of(anna)) == (401, 200)


def test_logout_by_bearer_ends_the_session_of_the_cookie_that_it_clears(app: Flask, anna: FlaskClient) -> None:
    thief, token = copied(app, anna), Session.start(User.find_by_login("Anna")).key

    response = anna.post("/user/logout", headers={"Authorization": f"Bearer {token}"})

    assert response.status_code == 200
    assert anna.get_cookie("session") is None
    assert status_of(thief) == 401


# A new password


@pytest.mark.parametrize("by", ["cookie", "bearer"])
def test_a_new_password_ends_every_other_session_of_that_user(
    app: Flask, anna: FlaskClient, bob: FlaskClient, by: str
) -> None:
    others = [anna, logged_in(app), logged_in(app, remember=True), bearer(app)]
    mine = logged_in(app) if by == "cookie" else bearer(app)

    assert mine.put("/user/password", json=NEW_PASSWORD).status_code == 200

    assert [status_of(client) for client in (mine, bob)] == [200, 200]
    assert [status_of(client) for client in others] == [401, 401, 401, 401]


@pytest.mark.parametrize(
    "body",
    [
        {**NEW_PASSWORD, "current_password": "correct house"},
        {**NEW_PASSWORD, "new_password": "short"},
        {"new_password": "battery staple"},
    ],
    ids=["wrong", "short", "missing"],
)
def test_a_refused_new_password_ends_no_session(app: Flask, anna: FlaskClient, body: dict[str, str]) -> None:
    other = logged_in(app)

    assert anna.put("/user/password", json=body).status_code in (403, 422)
    assert [status_of(client) for client in (anna, other)] == [200, 200]


def test_no_login_by_the_old_password_outlives_its_change(app: Flask, anna: FlaskClient) -> None:
    late = app.test_client()

    # The old password was right when it was looked at; it changes before the session is opened.
    with interleave(app, lambda: anna.put("/user/password", json=NEW_PASSWORD)) as changed:
        response = late.post("/user/login", json=ANNA)

    assert (changed[0].status_code, response.status_code) == (200, 401)
    assert [session.user.username for session in Session.select()] == ["Anna"]
    assert (status_of(anna), status_of(late)) == (200, 401)


def test_a_session_that_a_new_password_ended_cannot_set_another_one(app: Flask, anna: FlaskClient) -> None:
    thief = copied(app, logged_in(app))

    # The thief, who knows the old password too, was let in just before it changed.
    with interleave(app, lambda: anna.put("/user/password", json=NEW_PASSWORD)) as changed:
        response = thief.put("/user/password", json={**NEW_PASSWORD, "new_password": "stolen horse"})

    assert (changed[0].status_code, response.status_code) == (200, 401)
    assert logged_in(app, password=NEW_PASSWORD["new_password"])
    assert status_of(anna) == 200


# The end of the account


def test_deleting_the_account_ends_all_its_sessions_and_removes_dogs_and_files(
    app: Flask, anna: FlaskClient, bob: FlaskClient, uploads: Callable[[], set[str]]
) -> None:
    everywhere = [logged_in(app), logged_in(app, remember=True), bearer(app), copied(app, anna)]
    add_dog(anna)
    anna.put("/user/picture", data={"file": photo()})

    response = anna.delete("/user/profile", json={"current_password": PASSWORD})

    assert response.status_code == 200
    assert anna.get_cookie("session") is None
    assert [status_of(client) for client in (anna, *everywhere)] == [401] * 5
    assert status_of(bob) == 200
    assert app.test_client().get("/api/v1/dogs").json["data"] == []
    assert uploads() == set(User.get().picture.files)


def test_a_cookie_of_a_deleted_account_is_not_that_of_a_new_one_of_its_name(app: Flask, anna: FlaskClient) -> None:
    old = copied(app, anna)
    anna.delete("/user/profile", json={"current_password": PASSWORD})

    register(app, "Anna")

    assert status_of(old) == 401


# Bearer tokens


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER  "])
def test_a_sessions_key_is_taken_as_bearer_token(client: FlaskClient, anna: FlaskClient, scheme: str) -> None:
    token = Session.start(User.find_by_login("Anna")).key

    response = client.get("/user/profile", headers={"Authorization": scheme + token})

    assert (response.status_code, response.json["data"]["username"]) == (200, "Anna")
    assert "Set-Cookie" not in response.headers


def test_a_bearer_token_writes_wherever_a_cookie_does(app: Flask, anna: FlaskClient) -> None:
    client = bearer(app)

    dog = add_dog(client)
    answers = [
        client.patch(f"/api/v1/dogs/{dog['id']}", json={"name": "Max"}),
        client.patch("/user/profile", json={"username": "Anne"}),
        client.put("/user/picture", data={"file": photo()}),
        client.delete("/user/profile", json={"current_password": PASSWORD}),
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 200]


def test_a_good_bearer_token_speaks_before_a_good_cookie(app: Flask, anna: FlaskClient, bob: FlaskClient) -> None:
    token = Session.start(User.find_by_login("Anna")).key

    response = bob.get("/user/profile", headers={"Authorization": f"Bearer {token}"})

    assert response.json["data"]["username"] == "Anna"


BAD_TOKENS = {
    "unknown": "Bearer unknown",
    "empty": "Bearer ",
    "no-space": "Bearer",
    "two-words": "Bearer x y",
    "not-ascii": "Bearer é",
    "user-id": "Bearer 1",
    "long": "Bearer " + "x" * 2000,
}
PATHS = [
    ("GET", "/user/profile"), ("GET", "/user/1"), ("GET", "/api/v1/dogs"), ("POST", "/user/logout"),
    ("POST", "/user/login"), ("GET", "/health/live"),
]  # fmt: skip


@pytest.mark.parametrize("token", BAD_TOKENS.values(), ids=BAD_TOKENS)
@pytest.mark.parametrize("who", ["client", "anna"], ids=["alone", "beside-a-good-cookie"])
def test_a_wrong_bearer_token_is_401_everywhere_and_never_anonymous(
    anna: FlaskClient, request: pytest.FixtureRequest, token: str, who: str
) -> None:
    client = request.getfixturevalue(who)

    answers = [client.open(path, method=verb, headers={"Authorization": token}) for verb, path in PATHS]

    assert [answer.status_code for answer in answers] == [401] * len(PATHS)
    assert {answer.headers.get("WWW-Authenticate") for answer in answers} == {"Bearer"}
    assert status_of(anna) == 200  # the refusal ended nothing


def test_an_ended_bearer_token_is_401_with_a_challenge(app: Flask, anna: FlaskClient) -> None:
    client = bearer(app)
    let_pass(days=2)

    response = client.get("/user/1")

    assert (response.status_code, response.headers.get("WWW-Authenticate")) == (401, "Bearer")


def test_a_bearer_token_is_taken_beside_the_cookies_of_other_servers(app: Flask, anna: FlaskClient) -> None:
    # Cookies know no ports: what else runs on localhost sends its own along, under names that libraries choose.
    client = bearer(app)
    client.set_cookie("remember_token", "1|0123456789abcdef")

    assert status_of(client) == 200


def test_other_schemes_do_not_speak_for_anybody(client: FlaskClient, anna: FlaskClient) -> None:
    basic = {"Authorization": "Basic " + base64.b64encode(f"Anna:{PASSWORD}".encode()).decode()}

    assert client.get("/user/profile", headers=basic).status_code == 401
    assert anna.get("/user/profile", headers=basic).status_code == 200


# What may be kept of an answer


def test_answers_with_a_sessions_data_are_not_to_be_stored(app: Flask, anna: FlaskClient) -> None:
    body = {"username": "Carl", "email": "carl@example.com", "password": PASSWORD}
    answers = [
        anna.get("/user/profile"),
        anna.patch("/user/profile", json={}),
        anna.get("/api/v1/dogs?mine=true"),
        bearer(app).get("/user/profile"),
        app.test_client().post("/user/register", json=body),
        app.test_client().post("/user/login", json=ANNA),
        anna.post("/user/logout"),
        anna.get("/user/profile"),
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 201, 200, 200, 401]
    assert [answer.headers["Cache-Control"] for answer in answers] == ["no-store"] * 8


def test_what_everybody_may_see_sets_no_cookie(app: Flask, anna: FlaskClient) -> None:
    clients = [anna, logged_in(app, remember=True)]
    let_pass(hours=1)

    answers = [client.get(path) for client in clients for path in ("/user/1", "/api/v1/dogs")]

    assert [answer.status_code for answer in answers] == [200] * 4
    assert not any("Set-Cookie" in answer.headers for answer in answers)


# As production runs


def test_keeps_its_promises_with_testing_off(make_app: Callable[..., Flask]) -> None:
    app = make_app(TESTING=False, BCRYPT_LOG_ROUNDS=10, PUBLIC_URL=HTTPS)
    anna = register(app, "Anna")
    response = app.test_client().post("/user/login", json={**ANNA, "remember": True})
    other, thief, wrong = logged_in(app), copied(app, anna), bearer(app, "wrong")

    assert {"httponly", "secure", "samesite", "expires"} <= set(cookie_of(response)[1])
    assert wrong.get("/user/1").headers["WWW-Authenticate"] == "Bearer"
    assert anna.put("/user/password", json=NEW_PASSWORD).status_code == 200
    assert [status_of(client) for client in (anna, thief, other, wrong)] == [200, 200, 401, 401]
    let_pass(hours=25)
    assert [status_of(client) for client in (anna, thief)] == [401, 401]
    anna = logged_in(app, password=NEW_PASSWORD["new_password"])
    thief = copied(app, anna)
    anna.post("/user/logout")
    assert [status_of(client) for client in (anna, thief)] == [401, 401]
