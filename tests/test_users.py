"""Accounts: registration, login, profile, password change and deletion."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import bcrypt
import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from models import Dog, Session, User

from .engines import BOTH_ENGINES
from .factories import PASSWORD, add_dog, interleave, multipart_form, photo, register, run_concurrently

pytestmark = BOTH_ENGINES

CARL = {"username": "Carl", "email": "carl@example.com", "password": PASSWORD}
NAME_TAKEN = "A user with that name already exists"
EMAIL_TAKEN = "A user with that email already exists"
INVALID_CREDENTIALS = "Username or Password is incorrect"

PRIVATE_FIELDS = {"id", "username", "email", "image", "picture", "created_at"}
PUBLIC_FIELDS = {"id", "username", "image", "picture"}


def invalid_fields(response: TestResponse) -> set[str]:
    """Return the fields that a 422 response names."""
    assert response.status_code == 422, response.json
    return set(response.json["error"]["fields"])


def log_in(app: Flask, **fields: Any) -> TestResponse:
    """Log in with a new client, and return the response."""
    return app.test_client().post("/user/login", json={"password": PASSWORD, **fields})


def profile(client: FlaskClient) -> dict[str, Any]:
    """Return the account of the logged-in client."""
    response = client.get("/user/profile")
    assert response.status_code == 200, response.json
    return response.json["data"]


@pytest.fixture
def bcrypt_calls(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Record the version and cost of each bcrypt call, such as `$2b$04$`. The real function runs."""
    runs: list[bytes] = []
    hashpw = bcrypt.hashpw

    def counted(password: bytes, salt: bytes) -> bytes:
        runs.append(salt[:7])
        return hashpw(password, salt)

    monkeypatch.setattr(bcrypt, "hashpw", counted)
    return runs


# Registration: response


@pytest.mark.parametrize("kind", ["json", "data"])
def test_register_returns_201_with_private_profile(client: FlaskClient, kind: str) -> None:
    form = {"content_type": "multipart/form-data"} if kind == "data" else {}

    response = client.post("/user/register", **{kind: CARL}, **form)

    account = response.json["data"]
    assert response.status_code == 201
    assert response.json["status"] == {"code": 201, "message": "Success"}
    assert set(account) == PRIVATE_FIELDS
    assert (account["username"], account["email"]) == ("Carl", "carl@example.com")
    assert type(account["id"]) is int
    assert profile(client) == account  # and the cookie is logged in


def test_created_at_is_registration_time_in_utc(client: FlaskClient) -> None:
    before = datetime.now(UTC)

    text = client.post("/user/register", json=CARL).json["data"]["created_at"]

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", text)
    assert before <= datetime.fromisoformat(text) <= datetime.now(UTC)


def test_responses_never_contain_passwords_or_hashes(app: Flask, anna: FlaskClient) -> None:
    new = {"current_password": PASSWORD, "new_password": "battery staple"}
    refused = {**CARL, "username": "", "password": "short7!"}
    answers = [
        client.open(path, method=verb, json=body)
        for client, verb, path, body in [
            (app.test_client(), "POST", "/user/register", CARL),
            (app.test_client(), "POST", "/user/register", refused),
            (app.test_client(), "POST", "/user/login", {"username": "Anna", "password": PASSWORD}),
            (app.test_client(), "POST", "/user/login", {"username": "Anna", "password": "a wrong one"}),
            (anna, "GET", "/user/profile", None),
            (anna, "PATCH", "/user/profile", {"email": "new@example.com", "current_password": PASSWORD}),
            (anna, "PUT", "/user/password", new),
            (anna, "GET", f"/user/{profile(anna)['id']}", None),
        ]
    ]

    assert [answer.status_code for answer in answers] == [201, 422, 200, 401, 200, 200, 200, 200]
    for answer in answers:
        text = answer.get_data(as_text=True) + str(answer.headers)
        for secret in (PASSWORD, "battery staple", "short7!", "a wrong one", "password_hash", "$2b$"):
            assert secret not in text


# Registration: valid input and its normalization

VALID_USERNAMES = {
    "one-letter": ("x", "x"),
    "40-letters": ("x" * 40, "x" * 40),
    "40-emoji": ("🐶" * 40, "🐶" * 40),
    "case": ("McAnna", "McAnna"),
    "trimmed": (" \t\u3000Anna\u00a0\n", "Anna"),
    "space-within": ("Anna  Maria", "Anna  Maria"),
    "wide-letters": ("Ａｎｎａ", "Anna"),
    "ligature": ("ﬁn", "fin"),
    "80-that-compose-to-40": ("e\u0301" * 40, "é" * 40),
    "emoji-family": ("👩\u200d👩\u200d👧", "👩\u200d👩\u200d👧"),
    "emoji-selector": ("I ❤\ufe0f dogs", "I ❤\ufe0f dogs"),
    "devanagari-joiner": ("क\u094d\u200dष", "क\u094d\u200dष"),
    "persian-non-joiner": ("می\u200cخواهم", "می\u200cخواهم"),
    "right-to-left-script": ("אנה", "אנה"),
    "markup": ("<b>'\";--", "<b>'\";--"),
    "number": ("007", "007"),
}


@pytest.mark.parametrize(("typed", "kept"), VALID_USERNAMES.values(), ids=VALID_USERNAMES)
def test_username_is_normalized_and_keeps_its_case(client: FlaskClient, typed: str, kept: str) -> None:
    response = client.post("/user/register", json={**CARL, "username": typed})

    assert (response.status_code, response.json["data"].get("username")) == (201, kept)


INVALID_USERNAMES: dict[str, Any] = {
    "empty": "",
    "only-spaces": " \u3000\u00a0",
    "41-letters": "x" * 41,
    "21-that-nfkc-makes-42": "ĳ" * 21,
    "number": 7,
    "boolean": True,
    "null": None,
    "list": ["Anna"],
    "object": {"$ne": ""},
    **{f"control-{ord(char):04x}": f"An{char}na" for char in "\0\a\b\t\n\r\x1b\x7f\x80\x85\x9f\u2028\u2029"},
    **{
        f"bidirectional-{ord(char):04x}": f"An{char}na"
        for char in "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    },
    **{
        f"invisible-{ord(char):04x}": f"An{char}na"
        for char in "\u00ad\u034f\u115f\u180e\u200b\u200c\u200d\u2060\u2800\u3164\ufe0f\ufeff\uffa0\U000e0041"
    },
    "only-invisible": "\u3164",
    "joiner-at-the-end": "🐶\u200d",
    "bidirectional-first": "\u202eannA",
    "bidirectional-last": "Anna\u200f",
}


@pytest.mark.parametrize("username", INVALID_USERNAMES.values(), ids=INVALID_USERNAMES)
def test_invalid_username_returns_422(client: FlaskClient, username: Any) -> None:
    assert invalid_fields(client.post("/user/register", json={**CARL, "username": username})) == {"username"}


VALID_EMAILS = {
    "case": ("Anna@EXAMPLE.com", "anna@example.com"),
    "trimmed": (" anna@example.com\n", "anna@example.com"),
    "tag": ("anna+dogs@example.com", "anna+dogs@example.com"),
    "test-domain": ("anna@kennel.test", "anna@kennel.test"),
    "other-scripts": ("Ünï@Bücher.example", "ünï@bücher.example"),
    "punycode": ("anna@xn--bcher-kva.example", "anna@bücher.example"),
    "dotted-capital-i": ("İ@example.com", "i̇@example.com"),
    "254-characters": (f"{'x' * 64}@{'y' * 63}.{'y' * 63}.{'y' * 57}.com", None),
}


@pytest.mark.parametrize(("typed", "kept"), VALID_EMAILS.values(), ids=VALID_EMAILS)
def test_email_is_stored_in_lower_case_and_logs_in(app: Flask, typed: str, kept: str | None) -> None:
    response = app.test_client().post("/user/register", json={**CARL, "email": typed})

    assert (response.status_code, response.json["data"].get("email")) == (201, kept or typed)
    assert [log_in(app, email=spelling).status_code for spelling in (typed, kept or typed)] == [200, 200]


INVALID_EMAILS: dict[str, Any] = {
    "empty": "",
    "no-at": "anna.example.com",
    "two-ats": "anna@@example.com",
    "no-name": "@example.com",
    "no-domain": "anna@",
    "no-dot": "anna@localhost",
    "two-dots": "anna@example..com",
    "space": "an na@example.com",
    "line-break": "anna@example.com\nbcc: bob@example.com",
    "with-a-name": "Anna <anna@example.com>",
    "two": "anna@example.com,bob@example.com",
    "null-character": "anna\0@example.com",
    "bidirectional": "anna\u202e@example.com",
    # RFC 5321, section 4.5.3.1.1: at most 64 octets before the at sign.
    "65-before-the-at": f"{'x' * 65}@example.com",
    "255-characters": f"{'x' * 64}@{'y' * 63}.{'y' * 63}.{'y' * 58}.com",
    "number": 7,
    "null": None,
    "list": ["anna@example.com"],
}


@pytest.mark.parametrize("email", INVALID_EMAILS.values(), ids=INVALID_EMAILS)
def test_invalid_email_returns_422(client: FlaskClient, email: Any) -> None:
    assert invalid_fields(client.post("/user/register", json={**CARL, "email": email})) == {"email"}


VALID_PASSWORDS = {
    "8-letters": "xxxxxxxx",
    "8-emoji": "🐕🐩🦮🐶🦊🐺🐾🦴",
    "256-letters": "x" * 256,
    "256-emoji": "🐕" * 256,
    "only-spaces": " " * 8,
    "null-characters": "\0" * 8,
    "decomposed": "Pa\u0308ssword",
    "bidirectional": "\u202e1234567",
}


@pytest.mark.parametrize("password", VALID_PASSWORDS.values(), ids=VALID_PASSWORDS)
def test_any_unicode_password_logs_in(app: Flask, password: str) -> None:
    register(app, "Carl", password=password)

    assert log_in(app, username="Carl", password=password).status_code == 200
    assert log_in(app, username="Carl", password=password[:-1] + "?").status_code == 401


INVALID_PASSWORDS: dict[str, Any] = {
    "empty": "",
    "7-letters": "x" * 7,
    "7-emoji": "🐕" * 7,  # 28 bytes
    "257-letters": "x" * 257,
    "number": 12345678,
    "null": None,
    "list": ["correct horse"],
}


@pytest.mark.parametrize("password", INVALID_PASSWORDS.values(), ids=INVALID_PASSWORDS)
def test_invalid_new_password_returns_422(app: Flask, anna: FlaskClient, password: Any) -> None:
    registration = app.test_client().post("/user/register", json={**CARL, "password": password})
    change = anna.put("/user/password", json={"current_password": PASSWORD, "new_password": password})

    assert invalid_fields(registration) == {"password"}
    assert invalid_fields(change) == {"new_password"}
    assert log_in(app, username="Anna").status_code == 200


@pytest.mark.parametrize(
    ("password", "other"),
    [
        pytest.param("x" * 72 + "a", "x" * 72 + "b", id="byte-73"),
        pytest.param("x" * 72 + "a", "x" * 72, id="cut-at-byte-72"),
        pytest.param("🐕" * 18 + "🐩", "🐕" * 18 + "🦮", id="character-19-of-four-bytes"),
        pytest.param("x" * 255 + "a", "x" * 255 + "b", id="the-last-one"),
        pytest.param("x" * 8 + "\0a", "x" * 8 + "\0b", id="behind-a-null"),
        pytest.param(" password ", "password", id="spaces-around"),
        pytest.param("Correct horse", "correct horse", id="case"),
    ],
)
def test_passwords_are_compared_in_full_length(app: Flask, password: str, other: str) -> None:
    register(app, "Carl", password=password)

    answers = [log_in(app, username="Carl", password=text).status_code for text in (password, other)]

    assert answers == [200, 401]


# Registration: invalid input

INVALID_REGISTRATIONS: dict[str, Any] = {
    "nothing": ({}, {"username", "email", "password"}),
    "all-empty": ({"username": "", "email": "", "password": ""}, {"username", "email", "password"}),
    "all-of-another-kind": ({"username": 1, "email": [], "password": {}}, {"username", "email", "password"}),
    "file-too": ({"username": "", "file": "photo.jpg"}, {"username", "email", "password", "file"}),
    "unknown-too": ({"email": "anna", "is_admin": True}, {"username", "email", "password", "is_admin"}),
}


@pytest.mark.parametrize(("body", "fields"), INVALID_REGISTRATIONS.values(), ids=INVALID_REGISTRATIONS)
def test_register_422_names_all_invalid_fields(client: FlaskClient, body: Any, fields: set[str]) -> None:
    assert invalid_fields(client.post("/user/register", json=body)) == fields


def test_register_duplicate_field_422_names_all_fields(client: FlaskClient) -> None:
    form = multipart_form(
        ("username", None, b"Carl"), ("username", None, b"Anna"), ("email", None, b"none"), ("is_admin", None, b"1")
    )

    assert invalid_fields(client.post("/user/register", **form)) == {"username", "email", "password", "is_admin"}


def test_register_unpaired_surrogate_422_names_all_fields(client: FlaskClient) -> None:
    body = rb'{"username": "\ud800", "email": "none"}'

    response = client.post("/user/register", data=body, content_type="application/json")

    assert invalid_fields(response) == {"username", "email", "password"}


@pytest.mark.parametrize(
    ("verb", "path", "body"),
    [
        pytest.param("POST", "/user/register", CARL, id="register"),
        pytest.param("POST", "/user/login", {"username": "Anna", "password": PASSWORD}, id="login"),
        pytest.param("PATCH", "/user/profile", {"username": "Anne"}, id="profile"),
        pytest.param("DELETE", "/user/profile", {"current_password": PASSWORD}, id="deletion"),
        pytest.param(
            "PUT", "/user/password", {"current_password": PASSWORD, "new_password": "battery staple"}, id="password"
        ),
    ],
)
def test_read_only_fields_return_422_by_name(anna: FlaskClient, verb: str, path: str, body: Any) -> None:
    before = User.get()
    stolen = {
        "id": 99, "password_hash": "x" * 60, "is_admin": True, "image": "x.webp", "image_is_default": False,
        "username_key": "root", "created_at": "2001-01-01T00:00:00Z", "session": 1, "__class__": "User", "": 0,
    }  # fmt: skip

    response = anna.open(path, method=verb, json={**body, **stolen})

    assert invalid_fields(response) == set(stolen)
    assert [vars(user)["__data__"] for user in User.select()] == [vars(before)["__data__"]]


EQUAL_USERNAMES = {
    "equal": ("Carl", "Carl"),
    "case": ("Carl", "cARL"),
    "wide-letters": ("Carl", "Ｃａｒｌ"),
    "spaces-around": ("Carl", "  Carl "),
    "sharp-s": ("Straße", "STRASSE"),
    "capital-sharp-s": ("Straße", "STRAẞE"),
    "dotted-capital-i": ("İrem", "i\u0307REM"),
    "final-sigma": ("ΟΔΥΣΣΕΥΣ", "οδυσσευς"),
    "composed": ("\u00c9mile", "e\u0301MILE"),
    "compatibility": ("\u212bsa", "\u00e5SA"),
    "ligature": ("\ufb01n", "FIN"),
    "cyrillic": ("Анна", "аННА"),
    "title-case": ("\u01c4", "\u01c5"),
    "iota-below": ("\u1fb3", "\u0391\u0399"),
    # Equal only if decomposed before case folding.
    "iota-below-a-mark": ("\u1fb7", "\u1fbc\u0342"),
}


@pytest.mark.parametrize(("first", "second"), EQUAL_USERNAMES.values(), ids=EQUAL_USERNAMES)
def test_register_taken_username_returns_409_in_any_spelling(app: Flask, first: str, second: str) -> None:
    register(app, first, email="first@example.com")

    response = app.test_client().post("/user/register", json={**CARL, "username": second})

    assert (response.status_code, response.json["status"]["message"]) == (409, NAME_TAKEN)
    assert response.json["error"]["type"] == "/errors/conflict"
    assert response.json["error"]["fields"] == {"username": [NAME_TAKEN]}
    assert log_in(app, username=second).status_code == 200  # one account, by any spelling


@pytest.mark.parametrize("email", ["carl@bücher.example", "CARL@BÜCHER.EXAMPLE", " carl@xn--bcher-kva.example"])
def test_register_taken_email_returns_409_in_any_spelling(app: Flask, email: str) -> None:
    register(app, "Anna", email="Carl@Bücher.example")

    response = app.test_client().post("/user/register", json={**CARL, "email": email})

    assert (response.status_code, response.json["status"]["message"]) == (409, EMAIL_TAKEN)
    assert response.json["error"]["fields"] == {"email": [EMAIL_TAKEN]}


@pytest.mark.parametrize("other", [CARL["email"], "dora@example.com"], ids=["one-account", "two-accounts"])
def test_register_taken_name_and_email_409_names_both(app: Flask, client: FlaskClient, other: str) -> None:
    register(app, "Carl", email=other)
    register(app, "Dora", email="carl@example.com" if other == "dora@example.com" else "x@example.com")

    response = client.post("/user/register", json=CARL)

    assert (response.status_code, response.json["status"]["message"]) == (409, NAME_TAKEN)
    assert response.json["error"]["fields"] == {"username": [NAME_TAKEN], "email": [EMAIL_TAKEN]}


def test_dotless_i_is_a_different_username(app: Flask, client: FlaskClient) -> None:
    register(app, "Irmak", email="i@example.com")

    assert client.post("/user/register", json={**CARL, "username": "ırmak"}).status_code == 201


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        pytest.param({"username": "ANNA"}, 409, id="name-taken"),
        pytest.param({"email": "anna@example.com"}, 409, id="email-taken"),
        pytest.param({"password": "short"}, 422, id="short-password"),
        pytest.param({"id": "7"}, 422, id="unknown-field"),
        pytest.param({"username": "\u202eCarl"}, 422, id="bad-name"),
    ],
)
def test_refused_registration_leaves_no_trace(
    client: FlaskClient, anna: FlaskClient, uploads: Callable[[], set[str]], fields: dict[str, str], status: int
) -> None:
    before = uploads()

    response = client.post("/user/register", data={**CARL, **fields, "file": photo()})

    assert response.status_code == status
    assert (User.select().count(), Session.select().count(), uploads()) == (1, 1, before)
    assert client.get("/user/profile").status_code == 401


REFUSE_SESSIONS = {
    "sqlite": ["CREATE TRIGGER no BEFORE INSERT ON sessions BEGIN SELECT RAISE(ABORT, 'no'); END"],
    "postgresql": [
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$",
        "CREATE TRIGGER no BEFORE INSERT ON sessions EXECUTE FUNCTION no()",
    ],
}


def test_register_failing_session_leaves_no_trace(
    app: Flask, client: FlaskClient, uploads: Callable[[], set[str]], engine: str
) -> None:
    # The database rejects the session row, which is inserted after the account.
    for statement in REFUSE_SESSIONS[engine]:
        app.extensions["database"].execute_sql(statement)

    response = client.post("/user/register", json=CARL)

    assert response.status_code >= 400
    assert (User.select().count(), uploads()) == (0, set())


# Concurrency


@pytest.mark.parametrize("shared", ["username", "email"])
def test_concurrent_registrations_one_gets_the_name(app: Flask, uploads: Callable[[], set[str]], shared: str) -> None:
    def register_number(number: int) -> Callable[[], TestResponse]:
        body = {**CARL, "username": f"Carl{number}", "email": f"carl{number}@example.com", shared: CARL[shared]}
        return lambda: app.test_client().post("/user/register", json=body)

    answers = run_concurrently(app, *map(register_number, range(6)))

    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409, 409]
    assert all(shared in answer.json["error"]["fields"] for answer in answers if answer.status_code == 409)
    assert uploads() == set(User.get().picture.files)
    assert User.select().count() == 1


@pytest.mark.parametrize("field", ["username", "email"])
def test_concurrent_renames_one_gets_the_name(
    app: Flask, anna: FlaskClient, bob: FlaskClient, uploads: Callable[[], set[str]], field: str
) -> None:
    change = {field: CARL[field], "current_password": PASSWORD}

    answers = run_concurrently(app, *(lambda me=me: me.patch("/user/profile", json=change) for me in (anna, bob)))

    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert uploads() == set(User.all_picture_files())


def test_username_taken_before_insert_returns_409(app: Flask, uploads: Callable[[], set[str]]) -> None:
    with interleave(app, lambda: register(app, "Carl", email="first@example.com")):
        response = app.test_client().post("/user/register", json=CARL)

    assert (response.status_code, set(response.json["error"]["fields"])) == (409, {"username"})
    assert uploads() == set(User.get().picture.files)


# Login


@pytest.mark.parametrize("kind", ["json", "data"])
@pytest.mark.parametrize(
    "identity",
    [
        {"username": "Anna"},
        {"username": " ａｎｎＡ "},
        {"email": "anna@example.com"},
        {"email": " ANNA@Example.COM"},
        {"username": "anna", "email": "anna@example.com"},
    ],
    ids=["name", "name-in-another-spelling", "email", "email-in-another-case", "both"],
)
def test_login_by_username_or_email_as_json_or_form(
    client: FlaskClient, anna: FlaskClient, identity: dict[str, str], kind: str
) -> None:
    response = client.post("/user/login", **{kind: {**identity, "password": PASSWORD}})

    assert response.status_code == 200
    assert response.json["data"] == profile(client) == profile(anna)


FAILED_LOGINS = {
    "wrong-password": {"username": "Anna", "password": "correct house"},
    "wrong-password-by-email": {"email": "anna@example.com", "password": "correct house"},
    "unknown-name": {"username": "Nobody", "password": PASSWORD},
    "unknown-email": {"email": "nobody@example.com", "password": PASSWORD},
    "name-of-one-and-email-of-another": {"username": "Anna", "email": "bob@example.com", "password": PASSWORD},
    "email-as-name": {"username": "anna@example.com", "password": PASSWORD},
    "short-password": {"username": "Anna", "password": "x"},
    "hash-as-password": {"username": "Anna"},
}


@pytest.mark.parametrize("body", FAILED_LOGINS.values(), ids=FAILED_LOGINS)
def test_failed_logins_look_alike_and_cost_one_bcrypt_check(
    client: FlaskClient, anna: FlaskClient, bob: FlaskClient, bcrypt_calls: list[bytes], body: dict[str, str]
) -> None:
    body = {"password": User.get().password_hash, **body}

    response = client.post("/user/login", json=body)

    assert response.status_code == 401
    assert response.json == {
        "data": {},
        "status": {"code": 401, "message": INVALID_CREDENTIALS},
        "error": {"type": "/errors/unauthorized", "request_id": response.headers["X-Request-ID"]},
    }
    assert "Set-Cookie" not in response.headers
    assert bcrypt_calls == [b"$2b$04$"]


def test_failed_login_keeps_current_session(anna: FlaskClient, bob: FlaskClient) -> None:
    anna.post("/user/login", json={"username": "Bob", "password": "not Bob's"})

    assert profile(anna)["username"] == "Anna"


INVALID_LOGINS: dict[str, Any] = {
    "nothing": ({}, {"email", "password"}),
    "nobody": ({"password": PASSWORD}, {"email"}),
    "no-password": ({"username": "Anna"}, {"password"}),
    "all-wrong": (
        {"username": "", "email": "anna", "password": None, "remember": "perhaps", "admin": 1},
        {"username", "email", "password", "remember", "admin"},
    ),
    "wrong-name-only": ({"username": [], "password": PASSWORD}, {"username"}),
}


@pytest.mark.parametrize(("body", "fields"), INVALID_LOGINS.values(), ids=INVALID_LOGINS)
def test_login_422_names_all_invalid_fields(client: FlaskClient, body: Any, fields: set[str]) -> None:
    assert invalid_fields(client.post("/user/login", json=body)) == fields


# Profile


@pytest.mark.parametrize("kind", ["json", "data"])
def test_patch_changes_given_fields(anna: FlaskClient, kind: str) -> None:
    before = profile(anna)
    form = {"content_type": "multipart/form-data"} if kind == "data" else {}

    renamed = anna.patch("/user/profile", **{kind: {"username": " Anne "}}, **form)
    change = {"email": "Anne@Example.com", "current_password": PASSWORD}
    moved = anna.patch("/user/profile", **{kind: change}, **form)

    assert (renamed.status_code, moved.status_code) == (200, 200)
    assert renamed.json["data"]["email"] == "anna@example.com"
    assert moved.json["data"] == {**renamed.json["data"], "email": "anne@example.com"} == profile(anna)
    assert {name: before[name] for name in ("id", "created_at")}.items() <= profile(anna).items()


def test_new_name_and_email_log_in_and_old_ones_do_not(app: Flask, anna: FlaskClient) -> None:
    anna.patch("/user/profile", json={"username": "Anne", "email": "anne@example.com", "current_password": PASSWORD})

    new = [log_in(app, **identity).status_code for identity in ({"username": "ANNE"}, {"email": "anne@example.com"})]
    old = [log_in(app, **identity).status_code for identity in ({"username": "Anna"}, {"email": "anna@example.com"})]
    assert (new, old) == ([200, 200], [401, 401])


EMPTY_BODIES: dict[str, dict[str, Any]] = {
    "json": {"json": {}},
    "form": multipart_form(),
    "form-with-an-empty-file-input": multipart_form(("file", "", b"")),
    "password-alone": {"json": {"current_password": "never looked at"}},
    "own-email-in-another-case": {"json": {"email": "ANNA@example.com"}},
    "own-name-and-email": {"json": {"username": "Anna", "email": "anna@example.com"}},
}


@pytest.mark.parametrize("content", EMPTY_BODIES.values(), ids=EMPTY_BODIES)
def test_patch_without_changes_returns_200(
    anna: FlaskClient, uploads: Callable[[], set[str]], content: dict[str, Any]
) -> None:
    before, files = profile(anna), uploads()

    response = anna.patch("/user/profile", **content)

    assert (response.status_code, response.json["data"]) == (200, before)
    assert (profile(anna), uploads()) == (before, files)


BROKEN_FORMS: dict[str, dict[str, Any]] = {
    # A fetch that sets the Content-Type itself, and so loses the boundary that the browser would add.
    "no-boundary": {"data": multipart_form(("username", None, b"Anne"))["data"], "content_type": "multipart/form-data"},
    "cut-off": {
        **multipart_form(("username", None, b"Anne")),
        "data": b"--limit\r\nContent-Disposition: form-data; na",
    },
}


@pytest.mark.parametrize("content", BROKEN_FORMS.values(), ids=BROKEN_FORMS)
def test_patch_malformed_form_returns_400(anna: FlaskClient, content: dict[str, Any]) -> None:
    # An empty form is 200, so a malformed one must not be taken for it.
    assert anna.patch("/user/profile", **content).status_code == 400


def test_patch_accepts_own_username_in_other_case(app: Flask, anna: FlaskClient) -> None:
    response = anna.patch("/user/profile", json={"username": "ANNA"})

    assert (response.status_code, response.json["data"]["username"]) == (200, "ANNA")
    assert log_in(app, username="anna").json["data"]["username"] == "ANNA"


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        pytest.param({"username": "bOB"}, {"username": [NAME_TAKEN]}, id="name"),
        pytest.param({"email": "BOB@example.com"}, {"email": [EMAIL_TAKEN]}, id="email"),
        pytest.param(
            {"username": "Bob", "email": "bob@example.com"},
            {"username": [NAME_TAKEN], "email": [EMAIL_TAKEN]},
            id="both",
        ),
        pytest.param({"username": "Anne", "email": "bob@example.com"}, {"email": [EMAIL_TAKEN]}, id="new-name-too"),
    ],
)
def test_patch_taken_name_or_email_returns_409(
    anna: FlaskClient, bob: FlaskClient, uploads: Callable[[], set[str]], change: Any, fields: Any
) -> None:
    before, files = profile(anna), uploads()

    response = anna.patch("/user/profile", json={**change, "current_password": PASSWORD})

    assert (response.status_code, response.json["error"]["fields"]) == (409, fields)
    assert (profile(anna), uploads()) == (before, files)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        pytest.param(
            {"username": "", "email": "anna", "current_password": 7, "file": "x", "password": "battery staple"},
            {"username", "email", "current_password", "file", "password"},
            id="all",
        ),
        pytest.param({"username": None, "email": None}, {"username", "email"}, id="null"),
        pytest.param(
            {"username": "\u202e", "email": "new@example.com"}, {"username", "current_password"}, id="password-missing"
        ),
    ],
)
def test_patch_422_names_all_invalid_fields(anna: FlaskClient, body: Any, fields: set[str]) -> None:
    before = profile(anna)

    assert invalid_fields(anna.patch("/user/profile", json=body)) == fields
    assert profile(anna) == before


# Current password

GUARDED = {
    "new-email": ("PATCH", "/user/profile", {"email": "new@example.com", "username": "New"}),
    "deletion": ("DELETE", "/user/profile", {}),
    "new-password": ("PUT", "/user/password", {"new_password": "battery staple"}),
}


@pytest.mark.parametrize(("verb", "path", "body"), GUARDED.values(), ids=GUARDED)
@pytest.mark.parametrize(
    ("given", "status"),
    [
        pytest.param({}, 422, id="missing"),
        pytest.param({"current_password": None}, 422, id="null"),
        pytest.param({"current_password": 12345678}, 422, id="number"),
        pytest.param({"current_password": "correct house"}, 403, id="wrong"),
        pytest.param({"current_password": PASSWORD.upper()}, 403, id="wrong-case"),
        pytest.param({"current_password": f" {PASSWORD}"}, 403, id="space-before"),
        pytest.param({"current_password": "x"}, 403, id="short"),
    ],
)
def test_missing_or_wrong_current_password_changes_nothing(
    app: Flask, anna: FlaskClient, verb: str, path: str, body: Any, given: Any, status: int
) -> None:
    before = profile(anna)

    response = anna.open(path, method=verb, json={**body, **given})

    assert response.status_code == status
    assert set(response.json["error"]["fields"]) == {"current_password"}
    assert profile(anna) == before
    assert log_in(app, email="anna@example.com").status_code == 200


def test_password_of_other_user_returns_403(app: Flask, anna: FlaskClient) -> None:
    register(app, "Bob", password="the password of Bob")

    response = anna.delete("/user/profile", json={"current_password": "the password of Bob"})

    assert response.status_code == 403


def test_wrong_current_password_hides_taken_email(anna: FlaskClient, bob: FlaskClient) -> None:
    answers = [
        anna.patch("/user/profile", json={"email": email, "current_password": "correct house"})
        for email in ("bob@example.com", "free@example.com")
    ]

    assert [answer.status_code for answer in answers] == [403, 403]
    assert answers[0].json["status"] == answers[1].json["status"]


@pytest.mark.parametrize("kind", ["json", "data"])
def test_put_password_replaces_password(app: Flask, anna: FlaskClient, kind: str) -> None:
    new = "🐕" * 30
    body = {"current_password": PASSWORD, "new_password": new}

    response = anna.put("/user/password", **{kind: body})

    assert (response.status_code, response.json["data"]) == (200, profile(anna))
    assert [log_in(app, username="Anna", password=text).status_code for text in (PASSWORD, new)] == [401, 200]


def test_same_new_password_gets_new_hash(anna: FlaskClient) -> None:
    before = User.get().password_hash

    response = anna.put("/user/password", json={"current_password": PASSWORD, "new_password": PASSWORD})

    assert response.status_code == 200
    assert User.get().password_hash != before


def test_equal_passwords_have_different_salts(app: Flask) -> None:
    register(app, "Anna")
    register(app, "Bob")

    hashes = [user.password_hash for user in User.select()]
    assert len(set(hashes)) == 2
    assert all(re.fullmatch(r"\$2b\$04\$[./A-Za-z0-9]{53}", text) for text in hashes)


# Deletion


def test_delete_account_removes_its_data_only(
    app: Flask, anna: FlaskClient, bob: FlaskClient, uploads: Callable[[], set[str]]
) -> None:
    anna.put("/user/picture", data={"file": photo()})
    account, dog, kept = profile(anna), add_dog(anna), add_dog(bob)

    response = anna.delete("/user/profile", json={"current_password": PASSWORD})

    assert (response.status_code, response.json) == (200, {"data": {}, "status": {"code": 200, "message": "Success"}})
    gone = [f"/user/{account['id']}", f"/api/v1/dogs/{dog['id']}", f"/profile_pics/{account['image']}"]
    assert [app.test_client().get(path).status_code for path in gone] == [404, 404, 404]
    assert log_in(app, username="Anna").status_code == 401
    assert [dog.id for dog in Dog.select()] == [kept["id"]]
    assert [session.user.username for session in Session.select()] == ["Bob"]
    assert uploads() == set(User.get().picture.files)


def test_deleted_account_frees_name_and_email_not_id(app: Flask, anna: FlaskClient) -> None:
    old = profile(anna)
    anna.delete("/user/profile", json={"current_password": PASSWORD})

    new = profile(register(app, "Anna"))

    assert new["email"] == old["email"]
    assert new["id"] > old["id"]


def test_concurrent_second_deletion_returns_401(app: Flask, anna: FlaskClient) -> None:
    again = app.test_client()
    again.post("/user/login", json={"username": "Anna", "password": PASSWORD})
    body = {"current_password": PASSWORD}

    with interleave(app, lambda: again.delete("/user/profile", json=body)) as first:
        second = anna.delete("/user/profile", json=body)

    assert (first[0].status_code, second.status_code) == (200, 401)


# Public profile


@pytest.mark.parametrize("caller", ["anna", "bob", "client"])
def test_get_user_returns_public_profile_to_everyone(
    anna: FlaskClient, request: pytest.FixtureRequest, caller: str
) -> None:
    account = profile(anna)

    response = request.getfixturevalue(caller).get(f"/user/{account['id']}")

    assert (response.status_code, set(response.json["data"])) == (200, PUBLIC_FIELDS)
    assert response.json["data"].items() <= account.items()


@pytest.mark.parametrize(
    "user_id", ["0", "2", "-1", "1.0", "1e0", "0x1", "one", "١", "9223372036854775808", "9" * 40, "1%00", "%20", "null"]
)
def test_get_user_unknown_id_returns_404(anna: FlaskClient, user_id: str) -> None:
    response = anna.get(f"/user/{user_id}")

    assert (response.status_code, response.json["error"]["type"]) == (404, "/errors/not-found")


# Production settings


def test_accounts_with_testing_off(make_app: Callable[..., Flask], uploads: Callable[[], set[str]]) -> None:
    app = make_app(TESTING=False, BCRYPT_LOG_ROUNDS=10)
    anna = register(app, "Anna")
    taken = app.test_client().post("/user/register", data={**CARL, "username": "anna", "file": photo()})
    invalid = app.test_client().post("/user/register", json={"password": "short7!", "is_admin": True})
    missing = anna.delete("/user/profile", json={})
    wrong = anna.delete("/user/profile", json={"current_password": "correct house"})
    unknown = log_in(app, username="Nobody")

    refusals = [taken, invalid, missing, wrong, unknown]
    assert [answer.status_code for answer in refusals] == [409, 422, 422, 403, 401]
    assert all(answer.json["status"]["code"] == answer.status_code for answer in refusals)
    assert invalid_fields(invalid) == {"username", "email", "password", "is_admin"}
    assert "short7!" not in invalid.get_data(as_text=True)
    assert User.get().password_hash.startswith("$2b$10$")
    assert uploads() == set(User.get().picture.files)

    body = {"current_password": PASSWORD, "new_password": "battery staple"}
    assert anna.put("/user/password", json=body).status_code == 200
    assert log_in(app, username="Anna", password="battery staple").status_code == 200
    assert anna.delete("/user/profile", json={"current_password": "battery staple"}).status_code == 200
    assert (User.select().count(), uploads()) == (0, set())


# --- Passwords ---


@pytest.mark.parametrize("password", ["password1", "PASSWORD1", "iloveyou", "1234567890"])
def test_common_password_returns_422_when_it_is_set(client: FlaskClient, anna: FlaskClient, password: str) -> None:
    assert invalid_fields(client.post("/user/register", json={**CARL, "password": password})) == {"password"}
    body = {"current_password": PASSWORD, "new_password": password}
    assert invalid_fields(anna.put("/user/password", json=body)) == {"new_password"}


def test_password_that_holds_the_name_or_address_returns_422(client: FlaskClient, anna: FlaskClient) -> None:
    for password in ("my name is cARL", f"{CARL['email'].upper()}!"):
        assert invalid_fields(client.post("/user/register", json={**CARL, "password": password})) == {"password"}
    body = {"current_password": PASSWORD, "new_password": "I am ANNA again"}
    assert invalid_fields(anna.put("/user/password", json=body)) == {"new_password"}


def test_password_is_the_same_from_every_keyboard(client: FlaskClient) -> None:
    composed, decomposed, wide = "pässwörter ﬁt", "pa\u0308sswo\u0308rter fit", "ｐässwörter fit"
    assert client.post("/user/register", json={**CARL, "password": composed}).status_code == 201

    for password in (decomposed, wide):
        login = {"username": CARL["username"], "password": password}
        assert client.post("/user/login", json=login).status_code == 200
