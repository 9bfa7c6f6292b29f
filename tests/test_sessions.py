"""Sessions: the cookie, expiry, revocation and bearer tokens."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import bcrypt
import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from itsdangerous import TimestampSigner
from werkzeug.test import TestResponse

from models import Session, User
from models.base import utc_now
from models.session import hash_key

from .engines import BOTH_ENGINES, SQLITE_ONLY
from .factories import PASSWORD, add_dog, interleave, photo, register, sqlite_file, trace_sql
from .live_server import Server
from .transfer_fixtures import run_command

pytestmark = BOTH_ENGINES

ANNA = {"username": "Anna", "password": PASSWORD}
REGISTRATION = {**ANNA, "email": "anna@example.com"}
NEW_PASSWORD = {"current_password": PASSWORD, "new_password": "battery staple"}
HTTPS = "https://kennel.example"


def log_in(app: Flask, **fields: Any) -> FlaskClient:
    """Return another client, logged in as Anna."""
    client = app.test_client()
    assert client.post("/user/login", json={**ANNA, **fields}).status_code == 200
    return client


def bearer_client(app: Flask, key: str | None = None) -> FlaskClient:
    """Return a client that sends a session key as bearer token: `key`, or that of a new session of Anna."""
    if key is None:
        key = Session.start(User.find_by_login("Anna")).key
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {key}"
    return client


def copy_cookie(app: Flask, client: FlaskClient, name: str | None = None) -> FlaskClient:
    """Return another client with a copy of the cookie, under this name instead of its own."""
    thief, own_name = app.test_client(), app.config["SESSION_COOKIE_NAME"]
    thief.set_cookie(name or own_name, client.get_cookie(own_name).value)
    return thief


def cookie_payload(app: Flask, client: FlaskClient) -> dict[str, Any]:
    """Return the payload of a client's cookie."""
    serializer = app.session_interface.get_signing_serializer(app)
    return serializer.loads(client.get_cookie("kennel_session").value)


def profile_status(client: FlaskClient) -> int:
    """Return the status of the profile: 200 for an active session, 401 for an expired one."""
    return client.get("/user/profile").status_code


def advance_time(**time: float) -> None:
    """Let time pass for every session, by moving its timestamps into the past."""
    for session in Session.select():
        for moment in ("created_at", "used_at", "expires_at"):
            setattr(session, moment, getattr(session, moment) - timedelta(**time))
        session.save()


def age_session(app: Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch, **time: float) -> None:
    """Make a client's cookie older, by signing it again with an earlier timestamp."""
    serializer = app.session_interface.get_signing_serializer(app)
    payload, signed_at = serializer.loads(client.get_cookie("kennel_session").value, return_timestamp=True)
    moment = int((signed_at - timedelta(**time)).timestamp())
    with monkeypatch.context() as patch:
        patch.setattr(TimestampSigner, "get_timestamp", lambda _: moment)
        client.set_cookie("kennel_session", serializer.dumps(payload))


def parse_cookie(response: TestResponse) -> tuple[str, dict[str, str]]:
    """Return the value of the session cookie that a response sets, and its attributes by lower-case name."""
    (header,) = [header for header in response.headers.getlist("Set-Cookie") if "kennel_session=" in header]
    pair, *attributes = header.split("; ")
    split = (attribute.partition("=") for attribute in attributes)
    return pair.partition("=")[2], {name.lower(): value for name, _, value in split}


# Cookie


@pytest.mark.parametrize("act", ["register", "login", "login-remembered"])
@pytest.mark.parametrize(
    ("public_url", "secure"),
    [
        pytest.param("http://localhost:8000", set(), id="http"),
        pytest.param("", set(), id="default"),
        pytest.param(HTTPS, {"secure"}, id="https"),
    ],
)
def test_cookie_attributes(make_app: Callable[..., Flask], public_url: str, secure: set[str], act: str) -> None:
    app = make_app(PUBLIC_URL=public_url)
    register(app, "Anna")
    client = app.test_client()
    if act == "register":
        body = {"username": "Carl", "email": "carl@example.com", "password": PASSWORD}
        response = client.post("/user/register", json=body)
    else:
        response = client.post("/user/login", json={**ANNA, "remember": act == "login-remembered"})

    _, attributes = parse_cookie(response)

    lifetime = {"expires"} if act == "login-remembered" else set()
    assert set(attributes) == {"httponly", "samesite", "path"} | secure | lifetime
    assert (attributes["samesite"], attributes["path"]) == ("Lax", "/")


def test_cookie_on_https_is_bound_to_the_host(make_app: Callable[..., Flask]) -> None:
    app = make_app(PUBLIC_URL=HTTPS, SESSION_COOKIE_NAME="dogs")
    client = app.test_client()

    registered = client.post("/user/register", json=REGISTRATION)

    assert registered.headers["Set-Cookie"].startswith("__Host-dogs=")
    # A sibling host can set a cookie without the prefix. It is ignored.
    assert (profile_status(copy_cookie(app, client)), profile_status(copy_cookie(app, client, "dogs"))) == (200, 401)


@pytest.mark.parametrize("kind", ["json", "data"])
def test_remember_cookie_lasts_30_days(app: Flask, client: FlaskClient, anna: FlaskClient, kind: str) -> None:
    response = client.post("/user/login", **{kind: {**ANNA, "remember": "true"}})

    _, attributes = parse_cookie(response)
    age = parsedate_to_datetime(attributes["expires"]) - datetime.now(UTC)
    assert timedelta(days=29, hours=23) < age <= timedelta(days=30, seconds=1)


@pytest.mark.parametrize("remember", [{}, {"remember": False}, {"remember": "false"}], ids=["left-out", "no", "text"])
def test_cookie_without_remember_is_a_session_cookie(
    client: FlaskClient, anna: FlaskClient, remember: dict[str, Any]
) -> None:
    _, attributes = parse_cookie(client.post("/user/login", json={**ANNA, **remember}))

    assert not {"expires", "max-age"} & set(attributes)


@pytest.mark.parametrize("remember", [False, True])
def test_cookie_contains_random_key_only(app: Flask, anna: FlaskClient, remember: bool) -> None:
    clients = [log_in(app, remember=remember) for _ in range(2)]
    payloads = [cookie_payload(app, client) for client in clients]

    # Besides the key there is one flag: whether the cookie is persistent.
    keys = [[value for value in payload.values() if not isinstance(value, bool)] for payload in payloads]
    assert [len(found) for found in keys] == [1, 1]
    assert all(len(base64.urlsafe_b64decode(f"{key}=")) == 32 for found in keys for key in found)
    assert keys[0] != keys[1]


def test_only_hash_of_session_key_is_stored(app: Flask, anna: FlaskClient) -> None:
    key = cookie_payload(app, anna)["_user_id"]
    secret = app.config["SECRET_KEY"].encode()
    assert bytes(Session.get().key_hash) == hmac.digest(secret, key.encode(), "sha256")


@SQLITE_ONLY
def test_database_files_do_not_contain_session_key(app: Flask, settings: dict[str, Any], anna: FlaskClient) -> None:
    key = cookie_payload(app, anna)["_user_id"]
    stored = Session.get().key_hash

    # Entire files are searched, including the write-ahead log, so that no column or index is missed.
    path = sqlite_file(settings["DATABASE_URL"])
    files = [file.read_bytes() for file in path.parent.glob(f"{path.name}*")]
    assert any(bytes(stored) in content for content in files)
    assert not any(key.encode() in content for content in files)


def test_login_rotates_key_and_revokes_old_session(app: Flask, anna: FlaskClient) -> None:
    before, thief = cookie_payload(app, anna), copy_cookie(app, anna)

    anna.post("/user/login", json=ANNA)

    assert cookie_payload(app, anna) != before
    assert (profile_status(anna), profile_status(thief)) == (200, 401)


def test_login_as_other_user_replaces_session(app: Flask, anna: FlaskClient, bob: FlaskClient) -> None:
    bob.post("/user/login", json=ANNA)

    assert bob.get("/user/profile").json["data"]["username"] == "Anna"


@pytest.mark.parametrize(
    "value",
    ["", "x", "eyJfdXNlcl9pZCI6IjEifQ.x.x", "e30.aRtT6g.", "\u00e9", "a" * 3000],
    ids=["empty", "letter", "forged", "unsigned", "not-ascii", "long"],
)
def test_forged_cookie_returns_401(client: FlaskClient, anna: FlaskClient, value: str) -> None:
    client.set_cookie("kennel_session", value)

    assert profile_status(client) == 401


@pytest.mark.parametrize("value", ["1", "Anna", ""], ids=["id", "name", "nobody"])
def test_signed_cookie_with_user_id_returns_401(app: Flask, anna: FlaskClient, value: str) -> None:
    thief = app.test_client()
    with thief.session_transaction() as session:
        session["_user_id"] = value

    assert profile_status(thief) == 401


def test_cookie_of_other_secret_key_returns_401(make_app: Callable[..., Flask]) -> None:
    anna = register(make_app(), "Anna")
    other = make_app(SECRET_KEY="another key for the tests, no secret either")

    assert profile_status(copy_cookie(other, anna)) == 401


# Expiry


def test_idle_session_expires_after_24_hours(anna: FlaskClient) -> None:
    advance_time(hours=23, minutes=59)
    assert profile_status(anna) == 200

    # This use is recorded; later ones within 5 minutes are not, so they may extend the 24 hours by as much.
    advance_time(hours=24, minutes=5, seconds=1)
    assert profile_status(anna) == 401


def test_used_session_does_not_expire(anna: FlaskClient) -> None:
    for _ in range(5):
        advance_time(hours=23)
        assert profile_status(anna) == 200


def test_unrecorded_use_extends_idle_timeout(anna: FlaskClient) -> None:
    for _ in range(2):  # after the login, then after a recorded use
        advance_time(minutes=4, seconds=50)
        assert profile_status(anna) == 200

        advance_time(hours=23, minutes=59)
        assert profile_status(anna) == 200


def test_used_session_outlives_cookie_signature_age(
    app: Flask, anna: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A browser that is never closed and used every day. The row has the expiry, not the signature.
    for _ in range(3):
        advance_time(hours=1)
        age_session(app, anna, monkeypatch, days=20)
        assert profile_status(anna) == 200


def test_remembered_session_lasts_30_days_unused(app: Flask, anna: FlaskClient) -> None:
    client = log_in(app, remember=True)

    advance_time(days=29, hours=23, minutes=59)
    assert (profile_status(client), profile_status(anna)) == (200, 401)

    advance_time(minutes=2)
    assert profile_status(client) == 401


def test_expired_session_can_log_out_and_in(anna: FlaskClient) -> None:
    advance_time(days=2)

    assert anna.post("/user/logout").status_code == 200
    assert anna.post("/user/login", json=ANNA).status_code == 200
    assert profile_status(anna) == 200


def test_expired_sessions_are_deleted(app: Flask, anna: FlaskClient) -> None:
    advance_time(days=2)

    log_in(app)

    assert Session.select().count() == 1


# Cost


@pytest.mark.parametrize("by", ["cookie", "bearer"])
def test_authentication_runs_one_query_and_no_write(app: Flask, anna: FlaskClient, by: str) -> None:
    client = anna if by == "cookie" else bearer_client(app)
    advance_time(minutes=4, seconds=50)
    statements: list[str] = []

    with trace_sql(app, statements.append):
        assert profile_status(client) == 200

    assert [statement.split()[0] for statement in statements] == ["SELECT"]


@pytest.mark.parametrize("remember", [False, True])
def test_session_use_is_recorded_once_in_5_minutes(app: Flask, anna: FlaskClient, remember: bool) -> None:
    client = log_in(app, remember=remember)
    advance_time(minutes=5, seconds=1)
    statements: list[str] = []

    with trace_sql(app, statements.append):
        assert [profile_status(client) for _ in range(3)] == [200, 200, 200]

    writes = [statement for statement in statements if not statement.startswith("SELECT")]
    assert [statement.split()[:2] for statement in writes] == [["UPDATE", '"sessions"']]


# Logout


def test_logout_revokes_copied_cookie_and_clears_own(app: Flask, anna: FlaskClient) -> None:
    thief = copy_cookie(app, anna)
    assert profile_status(thief) == 200

    response = anna.post("/user/logout")

    assert (response.status_code, response.json) == (200, {"data": {}, "status": {"code": 200, "message": "Success"}})
    assert anna.get_cookie("kennel_session") is None
    assert (profile_status(anna), profile_status(thief)) == (401, 401)


@pytest.mark.parametrize("path", ["/user/logout", "/user/logout/"])
def test_anonymous_logout_returns_200(client: FlaskClient, path: str) -> None:
    assert [client.post(path).json["status"]["code"] for _ in range(2)] == [200, 200]


def test_logout_by_copied_cookie_revokes_session(app: Flask, anna: FlaskClient) -> None:
    copy_cookie(app, anna).post("/user/logout")

    assert profile_status(anna) == 401


def test_logout_keeps_other_sessions(app: Flask, anna: FlaskClient, bob: FlaskClient) -> None:
    other = log_in(app)

    anna.post("/user/logout")

    assert [profile_status(client) for client in (other, bob)] == [200, 200]


def test_logout_by_bearer_revokes_that_session(app: Flask, anna: FlaskClient) -> None:
    client = bearer_client(app)

    assert client.post("/user/logout").status_code == 200
    assert (profile_status(client), profile_status(anna)) == (401, 200)


def test_logout_by_bearer_revokes_cookie_session_too(app: Flask, anna: FlaskClient) -> None:
    thief, token = copy_cookie(app, anna), Session.start(User.find_by_login("Anna")).key

    response = anna.post("/user/logout", headers={"Authorization": f"Bearer {token}"})

    assert response.status_code == 200
    assert anna.get_cookie("kennel_session") is None
    assert profile_status(thief) == 401


# Password change


@pytest.mark.parametrize("by", ["cookie", "bearer"])
def test_password_change_revokes_other_sessions(app: Flask, anna: FlaskClient, bob: FlaskClient, by: str) -> None:
    others = [anna, log_in(app), log_in(app, remember=True), bearer_client(app)]
    mine = log_in(app) if by == "cookie" else bearer_client(app)

    assert mine.put("/user/password", json=NEW_PASSWORD).status_code == 200

    assert [profile_status(client) for client in (mine, bob)] == [200, 200]
    assert [profile_status(client) for client in others] == [401, 401, 401, 401]


@pytest.mark.parametrize(
    "body",
    [
        {**NEW_PASSWORD, "current_password": "correct house"},
        {**NEW_PASSWORD, "new_password": "short"},
        {"new_password": "battery staple"},
    ],
    ids=["wrong", "short", "missing"],
)
def test_refused_password_change_keeps_sessions(app: Flask, anna: FlaskClient, body: dict[str, str]) -> None:
    other = log_in(app)

    assert anna.put("/user/password", json=body).status_code in (403, 422)
    assert [profile_status(client) for client in (anna, other)] == [200, 200]


def test_login_during_password_change_is_revoked(app: Flask, anna: FlaskClient) -> None:
    late = app.test_client()

    # The old password was still valid when it was checked; it changes before the session is created.
    with interleave(app, lambda: anna.put("/user/password", json=NEW_PASSWORD)) as changed:
        response = late.post("/user/login", json=ANNA)

    assert (changed[0].status_code, response.status_code) == (200, 401)
    assert [session.user.username for session in Session.select()] == ["Anna"]
    assert (profile_status(anna), profile_status(late)) == (200, 401)


def test_revoked_session_cannot_change_password(app: Flask, anna: FlaskClient) -> None:
    thief = copy_cookie(app, log_in(app))

    # A thief who knows the old password logged in just before it changed.
    with interleave(app, lambda: anna.put("/user/password", json=NEW_PASSWORD)) as changed:
        response = thief.put("/user/password", json={**NEW_PASSWORD, "new_password": "stolen horse"})

    assert (changed[0].status_code, response.status_code) == (200, 401)
    assert log_in(app, password=NEW_PASSWORD["new_password"])
    assert profile_status(anna) == 200


def test_password_change_renews_the_key_of_its_session(app: Flask, anna: FlaskClient) -> None:
    thief = copy_cookie(app, anna)

    assert anna.put("/user/password", json=NEW_PASSWORD).status_code == 200

    assert (profile_status(anna), profile_status(thief)) == (200, 401)


def test_new_secret_key_ends_every_session(app: Flask, anna: FlaskClient, make_app: Callable[..., Flask]) -> None:
    token = Session.start(User.find_by_login("Anna")).key
    key = cookie_payload(app, anna)["_user_id"]

    changed = make_app(SECRET_KEY="another key for the tests, which is no secret")

    assert profile_status(bearer_client(changed, token)) == profile_status(bearer_client(changed, key)) == 401


def test_sessions_end_all_logs_everyone_out(app: Flask, anna: FlaskClient, bob: FlaskClient) -> None:
    assert run_command(app, "sessions", "end").exit_code == 2

    assert run_command(app, "sessions", "end", "--all").output == "Ended 2 sessions.\n"
    assert (profile_status(anna), profile_status(bob)) == (401, 401)


def test_account_has_at_most_100_sessions(app: Flask, anna: FlaskClient, bob: FlaskClient) -> None:
    user = User.find_by_login("Anna")
    keys = [Session.start(user).key for _ in range(99)]
    Session.update(used_at=Session.used_at).execute()
    first = copy_cookie(app, anna)
    Session.update(used_at=utc_now() - timedelta(hours=1)).where(Session.key_hash == hash_key(keys[0])).execute()

    log_in(app)

    assert Session.select().where(Session.user == user).count() == 100
    assert profile_status(bearer_client(app, keys[0])) == 401  # unused for the longest time
    assert profile_status(first) == profile_status(bearer_client(app, keys[1])) == profile_status(bob) == 200


# The cost of password hashes


def bcrypt_work(app: Flask, monkeypatch: pytest.MonkeyPatch, **login: str) -> int:
    """Return the work of a login, in rounds of bcrypt."""
    costs: list[int] = []
    hashpw = bcrypt.hashpw

    def record_and_hash(password: bytes, salt: bytes) -> bytes:
        costs.append(int(salt[4:6]))
        return hashpw(password, salt)

    with monkeypatch.context() as patch:
        patch.setattr(bcrypt, "hashpw", record_and_hash)
        app.test_client().post("/user/login", json=login)
    return sum(2**cost for cost in costs)


def test_login_raises_the_cost_of_an_old_hash(make_app: Callable[..., Flask], anna: FlaskClient) -> None:
    raised = make_app(BCRYPT_LOG_ROUNDS=6)
    assert User.find_by_login("Anna").hash_cost == 4

    log_in(raised)

    assert User.find_by_login("Anna").hash_cost == 6
    assert log_in(raised)
    assert profile_status(anna) == 200


@pytest.mark.parametrize("rounds", [4, 7])
def test_wrong_password_takes_the_same_work_for_any_account(
    make_app: Callable[..., Flask], anna: FlaskClient, bob: FlaskClient, monkeypatch: pytest.MonkeyPatch, rounds: int
) -> None:
    costly = bcrypt.hashpw(b"x", bcrypt.gensalt(6)).decode()
    User.update(password_hash=costly).where(User.username == "Bob").execute()
    app = make_app(BCRYPT_LOG_ROUNDS=rounds)

    work = {name: bcrypt_work(app, monkeypatch, username=name, password="wrong") for name in ("Anna", "Bob", "Unknown")}

    assert set(work.values()) == {2 ** max(6, rounds)}


# Headers that Granian can't hand over


@pytest.mark.parametrize("header", ["Cookie", "Authorization"])
def test_unreadable_header_is_named_and_never_anonymous(app: Flask, anna: FlaskClient, header: str) -> None:
    client = copy_cookie(app, anna) if header == "Authorization" else app.test_client(use_cookies=False)
    environ = {f"HTTP_{header.upper()}": ""}
    for method, path in (("GET", "/user/profile"), ("POST", "/api/v1/dogs"), ("GET", "/api/v1/dogs?mine=true")):
        response = client.open(path, method=method, environ_overrides=environ)

        assert response.status_code == 400
        assert response.json["status"]["message"].startswith(f"The {header} header is empty or has a character beyond")


@pytest.mark.usefixtures("engine")
def test_header_beyond_ascii_returns_400_on_the_real_server(server: Server) -> None:
    key = requests.post(f"{server.url}/user/register", json=REGISTRATION, timeout=30).cookies["kennel_session"]
    cookie = f"kennel_session={key}"
    for headers in ({"Cookie": f"city=München; {cookie}"}, {"Cookie": cookie, "Authorization": "Bearer ö"}):
        encoded = {name: value.encode() for name, value in headers.items()}
        response = requests.get(f"{server.url}/user/profile", headers=encoded, timeout=30)

        assert response.status_code == 400
        assert "beyond ASCII" in response.json()["status"]["message"]
    assert requests.get(f"{server.url}/user/profile", headers={"Cookie": f"a=b; {cookie}"}, timeout=30).ok


# Account deletion


def test_account_deletion_revokes_sessions_and_data(
    app: Flask, anna: FlaskClient, bob: FlaskClient, uploads: Callable[[], set[str]]
) -> None:
    everywhere = [log_in(app), log_in(app, remember=True), bearer_client(app), copy_cookie(app, anna)]
    add_dog(anna)
    anna.put("/user/picture", data={"file": photo()})

    response = anna.delete("/user/profile", json={"current_password": PASSWORD})

    assert response.status_code == 200
    assert anna.get_cookie("kennel_session") is None
    assert [profile_status(client) for client in (anna, *everywhere)] == [401] * 5
    assert profile_status(bob) == 200
    assert app.test_client().get("/api/v1/dogs").json["data"] == []
    assert uploads() == set(User.get().picture.files)


def test_cookie_of_deleted_account_is_not_reusable(app: Flask, anna: FlaskClient) -> None:
    old = copy_cookie(app, anna)
    anna.delete("/user/profile", json={"current_password": PASSWORD})

    register(app, "Anna")

    assert profile_status(old) == 401


# Bearer tokens


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER  "])
def test_session_key_is_accepted_as_bearer_token(client: FlaskClient, anna: FlaskClient, scheme: str) -> None:
    token = Session.start(User.find_by_login("Anna")).key

    response = client.get("/user/profile", headers={"Authorization": scheme + token})

    assert (response.status_code, response.json["data"]["username"]) == (200, "Anna")
    assert "Set-Cookie" not in response.headers


def test_bearer_token_works_on_every_write(app: Flask, anna: FlaskClient) -> None:
    client = bearer_client(app)

    dog = add_dog(client)
    answers = [
        client.patch(f"/api/v1/dogs/{dog['id']}", json={"name": "Max"}),
        client.patch("/user/profile", json={"username": "Anne"}),
        client.put("/user/picture", data={"file": photo()}),
        client.delete("/user/profile", json={"current_password": PASSWORD}),
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 200]


def test_bearer_token_overrides_cookie(app: Flask, anna: FlaskClient, bob: FlaskClient) -> None:
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
@pytest.mark.parametrize("caller", ["client", "anna"], ids=["alone", "beside-a-good-cookie"])
def test_invalid_token_returns_401_on_public_routes(
    anna: FlaskClient, request: pytest.FixtureRequest, token: str, caller: str
) -> None:
    client = request.getfixturevalue(caller)

    answers = [client.open(path, method=verb, headers={"Authorization": token}) for verb, path in PATHS]

    assert [answer.status_code for answer in answers] == [401] * len(PATHS)
    assert {answer.headers.get("WWW-Authenticate") for answer in answers} == {"Bearer"}
    assert profile_status(anna) == 200  # the refusal revoked nothing


def test_revoked_bearer_token_returns_401_challenge(app: Flask, anna: FlaskClient) -> None:
    client = bearer_client(app)
    advance_time(days=2)

    response = client.get("/user/1")

    assert (response.status_code, response.headers.get("WWW-Authenticate")) == (401, "Bearer")


def test_bearer_token_works_beside_foreign_cookies(app: Flask, anna: FlaskClient) -> None:
    # Cookies ignore ports: other servers on localhost set theirs too, under names that their libraries choose.
    client = bearer_client(app)
    client.set_cookie("remember_token", "1|0123456789abcdef")

    assert profile_status(client) == 200


def test_other_authorization_schemes_are_ignored(client: FlaskClient, anna: FlaskClient) -> None:
    basic = {"Authorization": "Basic " + base64.b64encode(f"Anna:{PASSWORD}".encode()).decode()}

    assert client.get("/user/profile", headers=basic).status_code == 401
    assert anna.get("/user/profile", headers=basic).status_code == 200


# Caching


def test_authenticated_responses_are_not_cached(app: Flask, anna: FlaskClient) -> None:
    body = {"username": "Carl", "email": "carl@example.com", "password": PASSWORD}
    answers = [
        anna.get("/user/profile"),
        anna.patch("/user/profile", json={}),
        anna.get("/api/v1/dogs?mine=true"),
        bearer_client(app).get("/user/profile"),
        app.test_client().post("/user/register", json=body),
        app.test_client().post("/user/login", json=ANNA),
        anna.post("/user/logout"),
        anna.get("/user/profile"),
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 201, 200, 200, 401]
    assert [answer.headers["Cache-Control"] for answer in answers] == ["no-store"] * 8


def test_public_responses_set_no_cookie(app: Flask, anna: FlaskClient) -> None:
    clients = [anna, log_in(app, remember=True)]
    advance_time(hours=1)

    answers = [client.get(path) for client in clients for path in ("/user/1", "/api/v1/dogs")]

    assert [answer.status_code for answer in answers] == [200] * 4
    assert not any("Set-Cookie" in answer.headers for answer in answers)


# Production settings


def test_sessions_with_testing_off(make_app: Callable[..., Flask]) -> None:
    app = make_app(TESTING=False, BCRYPT_LOG_ROUNDS=10, PUBLIC_URL=HTTPS)
    anna = register(app, "Anna")
    response = app.test_client().post("/user/login", json={**ANNA, "remember": True})
    other, thief, wrong = log_in(app), copy_cookie(app, anna), bearer_client(app, "wrong")

    assert {"httponly", "secure", "samesite", "expires"} <= set(parse_cookie(response)[1])
    assert wrong.get("/user/1").headers["WWW-Authenticate"] == "Bearer"
    assert anna.put("/user/password", json=NEW_PASSWORD).status_code == 200
    assert [profile_status(client) for client in (anna, thief, other, wrong)] == [200, 401, 401, 401]
    advance_time(hours=25)
    assert profile_status(anna) == 401
    anna = log_in(app, password=NEW_PASSWORD["new_password"])
    thief = copy_cookie(app, anna)
    anna.post("/user/logout")
    assert [profile_status(client) for client in (anna, thief)] == [401, 401]
