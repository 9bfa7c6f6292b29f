"""Errors: response envelope, RFC 9457 problem details, error pages, request ids; no secrets in responses or logs."""

from __future__ import annotations

import base64
import html
import itertools
import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import peewee
import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api.http.concurrency import limiters
from api.http.error_types import ERROR_TYPES
from api.pictures.store import picture_store
from api.routes import ROUTES

from .engines import BOTH_ENGINES, SQLITE_ONLY
from .factories import PASSWORD, add_dog, api_error, capture_log, example_path, multipart_form, register, saturate

PROBLEM = "application/problem+json"
CARL = {"username": "Carl", "email": "carl@example.com", "password": PASSWORD}
PREFIXES = ("/user", "/api", "/profile_pics", "/health", "/errors")


@pytest.fixture
def settings(settings: dict[str, Any], request: pytest.FixtureRequest) -> dict[str, Any]:
    """Settings with TESTING on, as in tests, or off, as in production."""
    testing = getattr(request, "param", True)
    return {**settings, "TESTING": testing, "BCRYPT_LOG_ROUNDS": 4 if testing else 10}


# Flask and its extensions handle errors differently when TESTING is on.
TESTING_OR_NOT = pytest.mark.parametrize("settings", [True, False], ids=["testing", "production"], indirect=True)


# One request per error type. `anna` is logged in.


def send_stale_write(app: Flask, anna: FlaskClient, **headers: str) -> TestResponse:
    dog = add_dog(anna)
    return anna.patch(f"/api/v1/dogs/{dog['id']}", json={"name": "Max"}, headers={"If-Match": '"old"', **headers})


def update_dog_of_other_user(app: Flask, anna: FlaskClient, **headers: str) -> TestResponse:
    dog = add_dog(register(app, "Bob"))
    return anna.patch(f"/api/v1/dogs/{dog['id']}", json={"name": "Max"}, headers=headers)


def exceed_login_limit(app: Flask, anna: FlaskClient, **headers: str) -> TestResponse:
    for _ in range(11):
        response = app.test_client().post(
            "/user/login", json={"username": "Anna", "password": "wrong"}, headers=headers
        )
    return response


def log_in_while_saturated(app: Flask, anna: FlaskClient, **headers: str) -> TestResponse:
    with saturate(limiters.get(app).cpu):
        return anna.post("/user/login", json={"username": "Anna", "password": PASSWORD}, headers=headers)


def register_without_picture_storage(app: Flask, anna: FlaskClient, **headers: str) -> TestResponse:
    folder = picture_store.get(app).files
    folder.path = folder.path / anna.get("/user/profile").json["data"]["image"]  # a file
    return anna.post("/user/register", json=CARL, headers=headers)


def register_with_server_bug(app: Flask, anna: FlaskClient, **headers: str) -> TestResponse:
    del app.extensions[picture_store.name]
    return anna.post("/user/register", json=CARL, headers=headers)


DISK_FULL = {
    # No pages beyond the current ones.
    "sqlite": ["PRAGMA max_page_count = 1"],
    "postgresql": [
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE '' USING ERRCODE = '53100'; END $$",
        "CREATE TRIGGER no BEFORE INSERT ON dogs EXECUTE FUNCTION no()",
    ],
}


def fill_disk(app: Flask, anna: FlaskClient, **headers: str) -> TestResponse:
    database = app.extensions["database"]
    for statement in DISK_FULL["sqlite" if isinstance(database, peewee.SqliteDatabase) else "postgresql"]:
        database.execute_sql(statement)
    while True:
        response = anna.post("/api/v1/dogs", json={"name": "x" * 80, "breed": "x" * 80}, headers=headers)
        if response.status_code != 201:
            return response


def make_request(method: str, path: str, **options: Any) -> Callable[..., TestResponse]:
    def send(app: Flask, anna: FlaskClient, **headers: str) -> TestResponse:
        return anna.open(path, method=method, **{**options, "headers": {**options.get("headers", {}), **headers}})

    return send


DUPLICATE_ANNA = {"username": "anna", "email": "other@example.com", "password": PASSWORD}
FAILURES: dict[str, tuple[int, Callable[..., TestResponse]]] = {
    "bad-request": (400, make_request("POST", "/user/login", data="{", content_type="application/json")),
    "unauthorized": (401, make_request("GET", "/user/profile", headers={"Authorization": "Bearer invalid"})),
    "forbidden": (403, update_dog_of_other_user),
    "cross-site": (403, make_request("POST", "/user/logout", headers={"Origin": "https://evil.example"})),
    "not-found": (404, make_request("GET", "/api/v1/dogs/999")),
    "method-not-allowed": (405, make_request("GET", "/user/login")),
    "conflict": (409, make_request("POST", "/user/register", json=DUPLICATE_ANNA)),
    "precondition-failed": (412, send_stale_write),
    "too-large": (413, make_request("POST", "/user/login", data=b" " * 65537, content_type="application/json")),
    "unsupported-media-type": (415, make_request("POST", "/user/login", data="hello", content_type="text/plain")),
    "validation": (422, make_request("POST", "/user/login", json={})),
    "too-many-requests": (429, exceed_login_limit),
    "internal": (500, register_with_server_bug),
    "unavailable": (503, log_in_while_saturated),
    "insufficient-storage": (507, fill_disk),
}
EVERY_FAILURE = pytest.mark.parametrize("slug", FAILURES)


def test_every_error_type_is_covered() -> None:
    assert set(FAILURES) == set(ERROR_TYPES)


@TESTING_OR_NOT
@EVERY_FAILURE
def test_error_envelope_shape(app: Flask, anna: FlaskClient, slug: str) -> None:
    status, send = FAILURES[slug]

    response = send(app, anna)

    assert api_error(response) == (status, slug)
    assert ("fields" in response.json["error"]) == (slug in ("conflict", "validation"))


@TESTING_OR_NOT
@EVERY_FAILURE
def test_accept_problem_json_returns_rfc9457(app: Flask, anna: FlaskClient, slug: str) -> None:
    status, send = FAILURES[slug]

    response = send(app, anna, Accept=PROBLEM)

    assert (response.status_code, response.headers["Content-Type"]) == (status, PROBLEM)
    assert set(response.json) - {"fields"} == {"type", "title", "status", "detail", "request_id"}
    assert (response.json["type"], response.json["status"]) == (f"/errors/{slug}", status)
    assert response.json["request_id"] == response.headers["X-Request-ID"]
    assert response.json["title"] == ERROR_TYPES[slug].title
    assert response.json["detail"]


@pytest.mark.parametrize("slug", ["conflict", "validation"])
def test_problem_json_lists_invalid_fields(app: Flask, anna: FlaskClient, slug: str) -> None:
    send = FAILURES[slug][1]

    assert send(app, anna, Accept=PROBLEM).json["fields"] == send(app, anna).json["error"]["fields"] != {}


@pytest.mark.parametrize("slug", ERROR_TYPES)
def test_error_type_is_path_of_documentation_page(client: FlaskClient, slug: str) -> None:
    kind = ERROR_TYPES[slug]

    page = client.get(f"/errors/{slug}")

    assert (page.status_code, page.mimetype) == (200, "text/html")
    text = html.unescape(page.get_data(as_text=True))
    for part in (str(kind.status), kind.title, kind.meaning, kind.cause, "With httpie", "With fetch"):
        assert part
        assert part in text
    httpie, fetch = re.findall("<pre><code>(.+?)</code></pre>", text, re.DOTALL)
    assert httpie.startswith("http ")
    assert fetch


def test_error_page_examples_use_public_url(make_app: Callable[..., Flask]) -> None:
    client = make_app(PUBLIC_URL="https://api.example.com").test_client()
    pages = [html.unescape(client.get(f"/errors/{slug}").get_data(as_text=True)) for slug in ERROR_TYPES]

    assert not [page for page in pages if ":8000" in page]
    for call in ("http https://api.example.com/openapi.json", 'await fetch("https://api.example.com/openapi.json")'):
        assert any(call in page for page in pages)


def test_unknown_error_page_returns_404(client: FlaskClient) -> None:
    assert api_error(client.get("/errors/unknown")) == (404, "not-found")


@pytest.mark.parametrize(
    ("accept", "is_problem"),
    [
        (PROBLEM, True),
        ("Application/Problem+JSON", True),
        (f"{PROBLEM}, application/json", True),
        (f"{PROBLEM};q=0.5, application/json;q=0.4", True),
        (f"{PROBLEM}, */*;q=0.8", True),
        (f"text/html, {PROBLEM};q=0.1", True),
        (f"application/json, {PROBLEM};q=0.9", False),
        (f"{PROBLEM};q=0.5, */*;q=0.8", False),
        (f"{PROBLEM};q=0", False),
        (f"{PROBLEM};q=0, application/json", False),
        ("application/json", False),
        ("application/*", False),
        ("*/*", False),
        ("text/html", False),
        ("", False),
        (";;q=,", False),
        (None, False),
    ],
)
def test_accept_selects_problem_or_envelope(client: FlaskClient, accept: str | None, is_problem: bool) -> None:
    response = client.get("/user/profile", headers={} if accept is None else {"Accept": accept})

    assert response.status_code == 401
    assert response.headers["Content-Type"] == (PROBLEM if is_problem else "application/json")
    assert "Accept" in response.vary


def test_success_is_never_problem_json(client: FlaskClient) -> None:
    response = client.get("/api/v1/dogs", headers={"Accept": PROBLEM})

    assert (response.status_code, response.headers["Content-Type"]) == (200, "application/json")


# Successes


@BOTH_ENGINES
def test_success_envelope_shape(app: Flask, client: FlaskClient) -> None:
    body = {"username": "Anna", "email": "anna@example.com", "password": PASSWORD}
    created = client.post("/user/register", json=body)
    read = client.get("/user/profile")
    ended = client.post("/user/logout")

    assert created.status_code == 201
    assert created.json["status"] == {"code": 201, "message": "Success"}
    assert read.status_code == 200
    assert read.json == {"data": created.json["data"], "status": {"code": 200, "message": "Success"}}
    assert ended.json == {"data": {}, "status": {"code": 200, "message": "Success"}}
    assert {response.headers["Content-Type"] for response in (created, read, ended)} == {"application/json"}


def test_list_has_page_object_and_next_link(anna: FlaskClient) -> None:
    dogs = [add_dog(anna), add_dog(anna)]

    first = anna.get("/api/v1/dogs?limit=1")
    url, relation = first.headers["Link"].split("; ")
    second = anna.get(url.strip("<>"))

    assert set(first.json) == {"data", "status", "page"}
    assert first.json["data"] == dogs[:1]
    assert first.json["page"]["limit"] == 1
    assert f"cursor={first.json['page']['next']}" in url
    assert relation == 'rel="next"'
    assert second.json["data"] == dogs[1:]
    assert second.json["page"] == {"limit": 1, "next": None}
    assert "Link" not in second.headers


@BOTH_ENGINES
def test_timestamps_are_rfc3339_utc_and_ids_integers(anna: FlaskClient) -> None:
    for row in (anna.get("/user/profile").json["data"], add_dog(anna)):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", row["created_at"])
        assert type(row["id"]) is int


# Invalid fields


def test_all_invalid_fields_are_reported_together(client: FlaskClient) -> None:
    body = {"username": "\u202eAnna", "email": "anna", "password": "short", "id": 1, "is_admin": True}

    response = client.post("/user/register", json=body)

    assert api_error(response) == (422, "validation")
    assert set(response.json["error"]["fields"]) == set(body)
    assert all(messages and all(messages) for messages in response.json["error"]["fields"].values())


@pytest.mark.parametrize("field", ["id", "user_id", "password_hash", "is_admin", "image", "picture", "created_at"])
def test_read_only_field_returns_422(anna: FlaskClient, field: str) -> None:
    for method, path in (("PATCH", "/user/profile"), ("POST", "/api/v1/dogs")):
        response = anna.open(path, method=method, json={"name": "Rex", "breed": "Poodle", field: 1})

        assert api_error(response) == (422, "validation")
        assert field in response.json["error"]["fields"]


def test_unknown_query_parameter_returns_422_on_every_route(anna: FlaskClient) -> None:
    resources = [(resource, path) for resource, path in ROUTES if not resource.ignores_query]
    for method, path in [(method, path) for resource, path in resources for method in sorted(resource.methods)]:
        response = anna.open(example_path(path), method=method, query_string={"surprise": "1"}, json={})

        assert api_error(response) == (422, "validation"), (method, path)
        assert "surprise" in response.json["error"]["fields"]


# X-Request-ID

REQUESTS = [
    ("GET", "/api/v1/dogs"),
    ("HEAD", "/api/v1/dogs"),
    ("POST", "/user/login"),
    ("GET", "/user/login"),
    ("GET", "/unknown"),
    ("OPTIONS", "/user/login"),
    ("GET", "/errors/conflict"),
    ("GET", "/user/profile"),
]


@pytest.mark.parametrize("request_id", ["a", "0123.ABC_xyz-9", "x" * 64])
def test_valid_request_id_is_echoed(client: FlaskClient, request_id: str) -> None:
    for method, path in REQUESTS:
        assert (
            client.open(path, method=method, headers={"X-Request-ID": request_id}).headers["X-Request-ID"] == request_id
        )


@pytest.mark.parametrize(
    "request_id", [None, "", "x" * 65, "a b", "a/b", "a\tb", "é", "<b>", "a,b", "a;b", '"a"', "a%0a"]
)
def test_missing_or_invalid_request_id_is_replaced(client: FlaskClient, request_id: str | None) -> None:
    headers = {} if request_id is None else {"X-Request-ID": request_id}
    request_ids = {
        client.open(path, method=method, headers=headers).headers["X-Request-ID"] for method, path in REQUESTS
    }

    assert len(request_ids) == len(REQUESTS)
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in request_ids)


# Paths and methods


@TESTING_OR_NOT
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_unknown_path_returns_404_envelope(client: FlaskClient, method: str) -> None:
    paths = [
        *map("".join, itertools.product(PREFIXES, ("/no/such/path", "//", "/%00/%ff"))),
        "/no/such/path",
        "/%00/%ff",
    ]
    for path in paths:
        response = client.open(path, method=method)

        assert response.status_code == 404
        assert response.headers["Content-Type"] == "application/json"
        assert method == "HEAD" or api_error(response) == (404, "not-found")


@pytest.mark.parametrize("prefix", [*PREFIXES, f"{PREFIXES[1]}/v1"])
def test_bare_prefix_returns_404_envelope(client: FlaskClient, prefix: str) -> None:
    for path in (prefix, f"{prefix}/"):
        assert api_error(client.get(path)) == (404, "not-found")


@TESTING_OR_NOT
def test_wrong_method_returns_405_with_allow(client: FlaskClient) -> None:
    for resource, path in ROUTES:
        allowed = {*resource.methods, "OPTIONS", *(["HEAD"] if "GET" in resource.methods else [])}
        for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"} - allowed:
            response = client.open(example_path(path), method=method)

            assert (response.status_code, response.headers["Content-Type"]) == (405, "application/json")
            assert set(response.headers["Allow"].split(", ")) == allowed
            assert method == "HEAD" or api_error(response) == (405, "method-not-allowed")


def test_trailing_slash_is_optional(anna: FlaskClient) -> None:
    add_dog(anna)
    for (_, path), method in itertools.product(ROUTES, ("GET", "OPTIONS")):
        plain, slashed = (anna.open(f"{example_path(path)}{end}", method=method) for end in ("", "/"))

        assert slashed.status_code == plain.status_code
        assert slashed.status_code not in range(300, 400)
        assert method == "GET" or slashed.status_code == 200


def test_trailing_slash_keeps_post_body(client: FlaskClient) -> None:
    body = {"username": "Anna", "email": "anna@example.com", "password": PASSWORD}
    assert client.post("/user/register/", json=body).status_code == 201
    added = client.post("/api/v1/dogs/", json={"name": "Rex", "breed": "Poodle"})

    assert added.status_code == 201
    assert added.headers["Location"] == f"http://localhost:8000/api/v1/dogs/{added.json['data']['id']}"


@pytest.mark.parametrize("path", ["//user/login", "/user//login", "/api/v1/dogs//", "/api/v1/../v1/dogs"])
def test_non_normalized_path_returns_404_without_redirect(client: FlaskClient, path: str) -> None:
    assert api_error(client.post(path, json={})) == (404, "not-found")


# Malformed headers

MALFORMED_HEADERS = {
    "Accept": ["", "\x7f", ";;q=", "*/*;q=NaN", "application/problem+json;q=-1", "x" * 5000, "é"],
    "Authorization": ["", "Bearer", "Bearer \x7f", "Basic", "Basic !!!", "Digest a=b,c", "Bearer " + "x" * 5000, "é"],
    "Content-Type": ["", ";", "a/b/c", 'application/json; charset="', 'multipart/form-data; boundary="', "json", "é"],
    "Cookie": [
        "kennel_session",
        "kennel_session=",
        "kennel_session=\xff",
        "kennel_session=.e30.x.y",
        ";;=;",
        "kennel_session=" + "x" * 5000,
        "=x",
    ],
    "Host": ["", "a b", "[::1", "a/b?c#d", "x" * 300, "localhost:99999", "é", "a@b", "a,b"],
    "If-Match": ["", "*", "x", '"x', 'W/"x"', '"a", "b"', "é"],
    "If-None-Match": ["", "*", "x", '"x', '"1-1", W/"2"', "é"],
    "Origin": ["", "null", "http://", "http://[", "x" * 5000, "é", "http://a, http://b"],
    "Range": ["bytes=0-", "bytes=9-1", "x"],
    "Sec-Fetch-Site": ["", "x", "é"],
    "X-Forwarded-For": ["", ",", "x, y", "127.0.0.1:80", "[::1]:1", "é"],
    "X-Forwarded-Proto": ["", "x", "https,http", "é"],
}


@pytest.mark.parametrize("proxies", [0, 1])
@pytest.mark.parametrize("name", MALFORMED_HEADERS)
def test_malformed_header_never_returns_5xx(make_app: Callable[..., Flask], name: str, proxies: int) -> None:
    app = make_app(TRUSTED_PROXIES=proxies, RATELIMIT_ENABLED=False)
    anna = register(app, "Anna")
    dog = f"/api/v1/dogs/{add_dog(anna)['id']}"
    requests = [*REQUESTS, ("GET", dog), ("PATCH", dog), ("PUT", "/user/picture"), ("POST", "/user/register")]
    for value, (method, path) in itertools.product(MALFORMED_HEADERS[name], requests):
        response = anna.open(path, method=method, headers={name: value}, data=b'{"name": "Max"}')

        assert response.status_code < 500, (value, path)
        assert response.status_code < 400 or response.mimetype in ("application/json", PROBLEM)
        assert response.headers["X-Request-ID"]


# Unhandled exceptions and outages

EXCEPTION_TEXT = "SELECT password_hash FROM users: /srv/kennel/dogs.sqlite, swordfish"
SECRETS = (*EXCEPTION_TEXT.replace(",", "").replace(":", "").split(), "RuntimeError", "Traceback", "raise", ".py")


def crash() -> None:
    raise RuntimeError(EXCEPTION_TEXT)


@TESTING_OR_NOT
@pytest.mark.parametrize("accept", ["*/*", PROBLEM])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_unhandled_exception_returns_opaque_500(app: Flask, prefix: str, accept: str) -> None:
    app.add_url_rule(f"{prefix}/crash/now", view_func=crash)
    log = capture_log()

    response = app.test_client().get(f"{prefix}/crash/now", headers={"Accept": accept, "X-Request-ID": "the-crash"})

    assert response.status_code == 500
    assert response.mimetype == (PROBLEM if accept == PROBLEM else "application/json")
    assert not [secret for secret in SECRETS if secret in response.get_data(as_text=True) + str(response.headers)]
    failure, traceback = log.getvalue().split("\n", 1)
    assert "ERROR" in failure
    assert "request_id=the-crash" in failure
    assert "in crash\n    raise RuntimeError(EXCEPTION_TEXT)" in traceback
    assert EXCEPTION_TEXT not in traceback


@BOTH_ENGINES
def test_exception_in_transaction_leaves_database_usable(app: Flask, anna: FlaskClient) -> None:
    assert register_with_server_bug(app, anna).status_code == 500

    assert add_dog(anna)["name"] == "Rex"
    assert anna.get("/user/2").status_code == 404


@TESTING_OR_NOT
def test_storage_failure_returns_503_without_paths(app: Flask, anna: FlaskClient) -> None:
    response = register_without_picture_storage(app, anna)

    assert api_error(response) == (503, "unavailable")
    assert int(response.headers["Retry-After"]) > 0
    assert response.json["status"]["message"].startswith("Picture storage unavailable")
    assert not [word for word in ("/", ".webp", "Errno", "irectory") if word in response.json["status"]["message"]]
    assert anna.get("/user/2").status_code == 404


def test_unreadable_picture_returns_503_but_profile_200(app: Flask, anna: FlaskClient) -> None:
    account = anna.get("/user/profile").json["data"]
    folder = picture_store.get(app).files
    folder.path = folder.path / account["image"]  # a file

    response = anna.get(f"/profile_pics/{account['image']}")

    assert api_error(response) == (503, "unavailable")
    assert int(response.headers["Retry-After"]) > 0
    assert anna.get("/user/profile").json["data"] == account


def test_full_disk_returns_507_and_reads_continue(app: Flask, anna: FlaskClient) -> None:
    before = anna.get("/api/v1/dogs").json["data"]

    response = fill_disk(app, anna)

    assert api_error(response) == (507, "insufficient-storage")
    assert "database or disk is full" not in response.get_data(as_text=True)
    assert "Retry-After" not in response.headers
    assert len(anna.get("/api/v1/dogs?limit=100").json["data"]) >= len(before)
    assert anna.get("/user/profile").status_code == 200


@TESTING_OR_NOT
@SQLITE_ONLY
def test_locked_database_returns_503_until_released(app: Flask, anna: FlaskClient, settings: dict[str, Any]) -> None:
    app.extensions["database"].timeout = 0
    path = settings["DATABASE_URL"].removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        refused = anna.post("/api/v1/dogs", json={"name": "Rex", "breed": "Poodle"})
        read = anna.get("/api/v1/dogs")
        other.execute("ROLLBACK")

    assert api_error(refused) == (503, "unavailable")
    assert int(refused.headers["Retry-After"]) > 0
    assert "locked" not in refused.get_data(as_text=True)
    assert read.json["data"] == []
    assert add_dog(anna)["id"] == 1


@TESTING_OR_NOT
@SQLITE_ONLY
@pytest.mark.parametrize("missing", ["file", "folder"])
def test_missing_database_returns_503(app: Flask, settings: dict[str, Any], missing: str) -> None:
    app.extensions["database"].close()
    path = Path(settings["DATABASE_URL"].removeprefix("sqlite:///"))
    if missing == "file":
        path.unlink()
    else:
        app.extensions["database"].init(str(path.parent / "unmounted" / path.name))
    client = app.test_client()

    for response in (
        client.get("/api/v1/dogs"),
        client.post("/user/login", json={"username": "A", "password": "wrong"}),
    ):
        assert api_error(response) == (503, "unavailable")
        assert int(response.headers["Retry-After"]) > 0
        assert not [word for word in ("table", "open", "sqlite") if word in response.get_data(as_text=True)]
    assert client.get("/health/live").status_code == 200


# Passwords never reach a response or the log

MARKER = "zw0rdf!"  # shorter than the minimum length, so that passwords of any length can contain it
LONG_PASSWORD = f"{MARKER}-and-more"
FIELDS = ("password", "current_password", "new_password")
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=limit"
CONTENT_TYPES = ["application/json", FORM, MULTIPART, "multipart/form-data", "text/plain", "application/xml", None]


def password_bodies() -> dict[str, bytes]:
    """Return valid and malformed request bodies that contain the password, by description."""
    passwords = dict.fromkeys(FIELDS, LONG_PASSWORD)
    text = json.dumps({**passwords, "username": "Carl", "email": "carl@example.com", "remember": True})
    form = urlencode(passwords).encode()
    parts = multipart_form(*((name, None, LONG_PASSWORD.encode()) for name in FIELDS))["data"]
    return {
        "object": json.dumps(passwords).encode(),
        "list instead of string": json.dumps({name: [LONG_PASSWORD] for name in FIELDS}).encode(),
        "object instead of string": json.dumps({name: {"password": LONG_PASSWORD} for name in FIELDS}).encode(),
        "array": json.dumps([LONG_PASSWORD, passwords]).encode(),
        "string": json.dumps(LONG_PASSWORD).encode(),
        "truncated": text[:-1].encode(),
        "truncated within the password": json.dumps(passwords)[:-3].encode(),
        "two objects": (text + text).encode(),
        "not UTF-8": text.encode().replace(b"Carl", b"C\xe4rl"),
        "with a BOM": b"\xef\xbb\xbf" + text.encode(),
        "NaN": text.replace("true", "NaN").encode(),
        "unpaired surrogate": text.replace(LONG_PASSWORD, LONG_PASSWORD + r"\ud800").encode(),
        "control characters": json.dumps(dict.fromkeys(FIELDS, f"{LONG_PASSWORD}\x00")).encode(),
        "too long": json.dumps(dict.fromkeys(FIELDS, LONG_PASSWORD * 40)).encode(),
        "too short": json.dumps(dict.fromkeys(FIELDS, MARKER)).encode(),
        "too large": text.encode() + b" " * 65536,
        "form": form,
        "form, duplicate fields": form + b"&" + form,
        "form, truncated": form[:-2],
        "form, malformed": form.replace(b"=", b"=%", 1) + b"&&=;",
        "multipart": parts,
        "multipart, duplicate fields": parts[: -len(b"--limit--\r\n")] + parts,
        "multipart, password as file": multipart_form(*((name, "x", LONG_PASSWORD.encode()) for name in FIELDS))[
            "data"
        ],
        "multipart, truncated": parts[:-16],
    }


@TESTING_OR_NOT
@pytest.mark.parametrize("content_type", CONTENT_TYPES, ids=str)
def test_password_in_rejected_body_never_leaks(app: Flask, anna: FlaskClient, content_type: str | None) -> None:
    log = capture_log()
    accepts = itertools.cycle(["*/*", PROBLEM, "text/html"])
    verbs = [
        (method, example_path(path))
        for resource, path in ROUTES
        for method in sorted(resource.methods)
        if hasattr(getattr(resource, method.lower()), "body_schema")
    ]
    leaks = []
    for (method, path), (variant, body) in itertools.product(verbs, password_bodies().items()):
        headers = {"Accept": next(accepts)}
        response = anna.open(path, method=method, data=body, headers=headers, content_type=content_type)
        assert response.status_code < 500
        if MARKER in response.get_data(as_text=True) + str(response.headers):
            leaks.append((method, path, variant))

    assert leaks == []
    assert log.getvalue().count("\n") == len(verbs) * len(password_bodies())
    assert MARKER not in log.getvalue()


WRONG_PASSWORD = {"current_password": LONG_PASSWORD}


@TESTING_OR_NOT
@pytest.mark.parametrize("accept", ["*/*", PROBLEM])
@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/user/login", {"username": "Anna", "password": LONG_PASSWORD}, 401),
        ("POST", "/user/login", {"username": "Carl", "password": LONG_PASSWORD}, 401),
        ("POST", "/user/register", {"username": "anna", "email": "other@example.com", "password": LONG_PASSWORD}, 409),
        ("POST", "/user/register", {"username": "Carl", "email": "carl@example.com", "password": LONG_PASSWORD}, 201),
        ("PATCH", "/user/profile", {**WRONG_PASSWORD, "email": "new@example.com"}, 403),
        ("PATCH", "/user/profile", WRONG_PASSWORD, 200),
        ("DELETE", "/user/profile", WRONG_PASSWORD, 403),
        ("PUT", "/user/password", {**WRONG_PASSWORD, "new_password": LONG_PASSWORD}, 403),
        ("PUT", "/user/password", {"current_password": PASSWORD, "new_password": LONG_PASSWORD}, 200),
    ],
)
def test_passwords_never_leak_to_response_or_log(
    anna: FlaskClient, method: str, path: str, body: dict[str, Any], status: int, accept: str
) -> None:
    log = capture_log()

    response = anna.open(path, method=method, json=body, headers={"Accept": accept})

    assert response.status_code == status
    assert MARKER not in response.get_data(as_text=True) + str(response.headers)
    assert f"status={status}" in log.getvalue()
    assert MARKER not in log.getvalue()


@pytest.mark.parametrize(
    "header", [f"Basic {base64.b64encode(f'Anna:{LONG_PASSWORD}'.encode()).decode()}", f"Bearer {MARKER}"]
)
@pytest.mark.parametrize("accept", ["*/*", PROBLEM])
def test_secret_in_url_cookie_or_header_never_leaks(app: Flask, header: str, accept: str) -> None:
    log = capture_log()
    client = app.test_client()
    client.set_cookie("kennel_session", MARKER)
    headers = {"Accept": accept, "Authorization": header, "Referer": f"http://localhost/?{MARKER}"}
    for resource, path in ROUTES:
        for method in sorted({*resource.methods, "TRACE", "OPTIONS"}):
            for url in (f"{example_path(path)}?password={MARKER}", f"/user/{MARKER}?{urlencode({'q': MARKER})}"):
                response = client.open(url, method=method, headers=headers)
                text = response.get_data(as_text=True) + str(response.headers)
                assert not [secret for secret in (MARKER, header.split()[1]) if secret in text]
    assert log.getvalue()
    assert not [secret for secret in (MARKER, header.split()[1]) if secret in log.getvalue()]


@TESTING_OR_NOT
def test_password_never_leaks_when_server_crashes(anna: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    log = capture_log()
    # Not a hash, so bcrypt raises.
    monkeypatch.setattr("api.security.passwords.dummy_hash", lambda _: LONG_PASSWORD)

    response = anna.post("/user/login", json={"username": "Unknown", "password": LONG_PASSWORD})

    assert api_error(response) == (500, "internal")
    assert MARKER not in response.get_data(as_text=True)
    assert "ERROR" in log.getvalue()
    assert "verify_password" in log.getvalue()
    assert MARKER not in log.getvalue()
