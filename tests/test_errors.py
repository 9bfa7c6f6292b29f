"""One shape: the envelope of every answer, the kinds of failures and their pages, and what a failure never tells."""

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
from api.security.passwords import hasher

from .engines import BOTH_ENGINES, SQLITE_ONLY
from .factories import PASSWORD, add_dog, api_error, capture_log, example_path, multipart_form, register, saturate

PROBLEM = "application/problem+json"
CARL = {"username": "Carl", "email": "carl@example.com", "password": PASSWORD}
PREFIXES = ("/user", "/api", "/profile_pics", "/health", "/errors")


@pytest.fixture
def settings(settings: dict[str, Any], request: pytest.FixtureRequest) -> dict[str, Any]:
    """The settings, as tests have them or as servers do."""
    testing = getattr(request, "param", True)
    return {**settings, "TESTING": testing, "BCRYPT_LOG_ROUNDS": 4 if testing else 10}


# Flask and its extensions treat errors differently when TESTING is on.
TESTING_OR_NOT = pytest.mark.parametrize("settings", [True, False], ids=["testing", "production"], indirect=True)


# One way to meet each kind of error. `anna` is logged in.


def stale_write(app: Flask, anna: FlaskClient, **headers: str) -> TestResponse:
    dog = add_dog(anna)
    return anna.patch(f"/api/v1/dogs/{dog['id']}", json={"name": "Max"}, headers={"If-Match": '"old"', **headers})


def write_to_a_dog_of_somebody_else(app: Flask, anna: FlaskClient, **headers: str) -> TestResponse:
    dog = add_dog(register(app, "Bob"))
    return anna.patch(f"/api/v1/dogs/{dog['id']}", json={"name": "Max"}, headers=headers)


def eleventh_wrong_guess(app: Flask, anna: FlaskClient, **headers: str) -> TestResponse:
    for _ in range(11):
        answer = app.test_client().post("/user/login", json={"username": "Anna", "password": "wrong"}, headers=headers)
    return answer


def login_while_all_are_busy(app: Flask, anna: FlaskClient, **headers: str) -> TestResponse:
    with saturate(limiters.get(app).cpu):
        return anna.post("/user/login", json={"username": "Anna", "password": PASSWORD}, headers=headers)


def registration_where_no_picture_can_be_kept(app: Flask, anna: FlaskClient, **headers: str) -> TestResponse:
    folder = picture_store.get(app).files
    folder.path = folder.path / anna.get("/user/profile").json["data"]["image"]  # a file
    return anna.post("/user/register", json=CARL, headers=headers)


def registration_with_a_bug(app: Flask, anna: FlaskClient, **headers: str) -> TestResponse:
    del app.extensions[picture_store.name]
    return anna.post("/user/register", json=CARL, headers=headers)


DISK_FULL = {
    # No page more than there are.
    "sqlite": ["PRAGMA max_page_count = 1"],
    "postgresql": [
        "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE '' USING ERRCODE = '53100'; END $$",
        "CREATE TRIGGER no BEFORE INSERT ON dogs EXECUTE FUNCTION no()",
    ],
}


def write_to_a_full_disk(app: Flask, anna: FlaskClient, **headers: str) -> TestResponse:
    database = app.extensions["database"]
    for statement in DISK_FULL["sqlite" if isinstance(database, peewee.SqliteDatabase) else "postgresql"]:
        database.execute_sql(statement)
    while True:
        answer = anna.post("/api/v1/dogs", json={"name": "x" * 80, "breed": "x" * 80}, headers=headers)
        if answer.status_code != 201:
            return answer


def simple(method: str, path: str, **options: Any) -> Callable[..., TestResponse]:
    def send(app: Flask, anna: FlaskClient, **headers: str) -> TestResponse:
        return anna.open(path, method=method, **{**options, "headers": {**options.get("headers", {}), **headers}})

    return send


ANNA_AGAIN = {"username": "anna", "email": "other@example.com", "password": PASSWORD}
FAILURES: dict[str, tuple[int, Callable[..., TestResponse]]] = {
    "bad-request": (400, simple("POST", "/user/login", data="{", content_type="application/json")),
    "unauthorized": (401, simple("GET", "/user/profile", headers={"Authorization": "Bearer nothing"})),
    "forbidden": (403, write_to_a_dog_of_somebody_else),
    "cross-site": (403, simple("POST", "/user/logout", headers={"Origin": "https://evil.example"})),
    "not-found": (404, simple("GET", "/api/v1/dogs/999")),
    "method-not-allowed": (405, simple("GET", "/user/login")),
    "conflict": (409, simple("POST", "/user/register", json=ANNA_AGAIN)),
    "precondition-failed": (412, stale_write),
    "too-large": (413, simple("POST", "/user/login", data=b" " * 65537, content_type="application/json")),
    "unsupported-media-type": (415, simple("POST", "/user/login", data="hello", content_type="text/plain")),
    "validation": (422, simple("POST", "/user/login", json={})),
    "too-many-requests": (429, eleventh_wrong_guess),
    "internal": (500, registration_with_a_bug),
    "unavailable": (503, login_while_all_are_busy),
    "insufficient-storage": (507, write_to_a_full_disk),
}
EVERY_FAILURE = pytest.mark.parametrize("slug", FAILURES)


def test_every_kind_of_error_is_tried_here() -> None:
    assert set(FAILURES) == set(ERROR_TYPES)


@TESTING_OR_NOT
@EVERY_FAILURE
def test_a_failure_has_the_envelope_its_status_its_kind_and_fields_only_where_some_are_at_fault(
    app: Flask, anna: FlaskClient, slug: str
) -> None:
    status, send = FAILURES[slug]

    answer = send(app, anna)

    assert api_error(answer) == (status, slug)
    assert ("fields" in answer.json["error"]) == (slug in ("conflict", "validation"))


@TESTING_OR_NOT
@EVERY_FAILURE
def test_a_failure_is_a_problem_to_who_asks_for_that(app: Flask, anna: FlaskClient, slug: str) -> None:
    status, send = FAILURES[slug]

    answer = send(app, anna, Accept=PROBLEM)

    assert (answer.status_code, answer.headers["Content-Type"]) == (status, PROBLEM)
    assert set(answer.json) - {"fields"} == {"type", "title", "status", "detail", "request_id"}
    assert (answer.json["type"], answer.json["status"]) == (f"/errors/{slug}", status)
    assert answer.json["request_id"] == answer.headers["X-Request-ID"]
    assert answer.json["title"] == ERROR_TYPES[slug].title
    assert answer.json["detail"]


@pytest.mark.parametrize("slug", ["conflict", "validation"])
def test_a_problem_names_the_fields_too(app: Flask, anna: FlaskClient, slug: str) -> None:
    send = FAILURES[slug][1]

    assert send(app, anna, Accept=PROBLEM).json["fields"] == send(app, anna).json["error"]["fields"] != {}


@pytest.mark.parametrize("slug", ERROR_TYPES)
def test_the_type_of_a_failure_is_the_path_of_a_page_that_explains_it(client: FlaskClient, slug: str) -> None:
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


def test_the_examples_of_the_pages_call_this_server(make_app: Callable[..., Flask]) -> None:
    client = make_app(PUBLIC_URL="https://api.example.com").test_client()
    pages = [html.unescape(client.get(f"/errors/{slug}").get_data(as_text=True)) for slug in ERROR_TYPES]

    assert not [page for page in pages if ":8000" in page]
    for call in ("http https://api.example.com/api/v1/dogs", 'await fetch("https://api.example.com/api/v1/dogs")'):
        assert any(call in page for page in pages)


def test_a_page_of_an_error_that_does_not_exist_is_404(client: FlaskClient) -> None:
    assert api_error(client.get("/errors/nothing")) == (404, "not-found")


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
def test_accept_decides_between_problem_and_envelope(client: FlaskClient, accept: str | None, is_problem: bool) -> None:
    answer = client.get("/user/profile", headers={} if accept is None else {"Accept": accept})

    assert answer.status_code == 401
    assert answer.headers["Content-Type"] == (PROBLEM if is_problem else "application/json")
    assert "Accept" in answer.vary


def test_a_success_is_never_a_problem(client: FlaskClient) -> None:
    answer = client.get("/api/v1/dogs", headers={"Accept": PROBLEM})

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")


# Successes


@BOTH_ENGINES
def test_a_success_has_the_envelope_with_its_status(app: Flask, client: FlaskClient) -> None:
    body = {"username": "Anna", "email": "anna@example.com", "password": PASSWORD}
    created = client.post("/user/register", json=body)
    read = client.get("/user/profile")
    ended = client.post("/user/logout")

    assert created.status_code == 201
    assert created.json["status"] == {"code": 201, "message": "Success"}
    assert read.status_code == 200
    assert read.json == {"data": created.json["data"], "status": {"code": 200, "message": "Success"}}
    assert ended.json == {"data": {}, "status": {"code": 200, "message": "Success"}}
    assert {answer.headers["Content-Type"] for answer in (created, read, ended)} == {"application/json"}


def test_a_list_has_its_page_beside_it_and_the_next_one_in_a_link(anna: FlaskClient) -> None:
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
def test_times_are_rfc_3339_in_utc_and_ids_are_integers(anna: FlaskClient) -> None:
    for row in (anna.get("/user/profile").json["data"], add_dog(anna)):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", row["created_at"])
        assert type(row["id"]) is int


# Which field is at fault


def test_every_wrong_field_is_named_at_once(client: FlaskClient) -> None:
    body = {"username": "\u202eAnna", "email": "anna", "password": "short", "id": 1, "is_admin": True}

    answer = client.post("/user/register", json=body)

    assert api_error(answer) == (422, "validation")
    assert set(answer.json["error"]["fields"]) == set(body)
    assert all(messages and all(messages) for messages in answer.json["error"]["fields"].values())


@pytest.mark.parametrize("field", ["id", "user_id", "password_hash", "is_admin", "image", "picture", "created_at"])
def test_a_field_that_nobody_may_set_is_refused_by_name(anna: FlaskClient, field: str) -> None:
    for method, path in (("PATCH", "/user/profile"), ("POST", "/api/v1/dogs")):
        answer = anna.open(path, method=method, json={"name": "Rex", "breed": "Poodle", field: 1})

        assert api_error(answer) == (422, "validation")
        assert field in answer.json["error"]["fields"]


def test_an_unknown_query_parameter_is_refused_by_name_everywhere(anna: FlaskClient) -> None:
    verbs = [(method, path) for resource, path in ROUTES for method in sorted(resource.methods)]
    for method, path in verbs:
        answer = anna.open(example_path(path), method=method, query_string={"surprise": "1"}, json={})

        assert api_error(answer) == (422, "validation"), (method, path)
        assert "surprise" in answer.json["error"]["fields"]


# The id of a request

ASKS = [
    ("GET", "/api/v1/dogs"),
    ("HEAD", "/api/v1/dogs"),
    ("POST", "/user/login"),
    ("GET", "/user/login"),
    ("GET", "/nothing"),
    ("OPTIONS", "/user/login"),
    ("GET", "/errors/conflict"),
    ("GET", "/user/profile"),
]


@pytest.mark.parametrize("wished", ["a", "0123.ABC_xyz-9", "x" * 64])
def test_a_good_request_id_comes_back(client: FlaskClient, wished: str) -> None:
    for method, path in ASKS:
        assert client.open(path, method=method, headers={"X-Request-ID": wished}).headers["X-Request-ID"] == wished


@pytest.mark.parametrize("wished", [None, "", "x" * 65, "a b", "a/b", "a\tb", "é", "<b>", "a,b", "a;b", '"a"', "a%0a"])
def test_without_a_good_request_id_each_answer_gets_a_fresh_one(client: FlaskClient, wished: str | None) -> None:
    headers = {} if wished is None else {"X-Request-ID": wished}
    given = {client.open(path, method=method, headers=headers).headers["X-Request-ID"] for method, path in ASKS}

    assert len(given) == len(ASKS)
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in given)


# Paths and methods


@TESTING_OR_NOT
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_an_unknown_path_is_404_in_the_envelope(client: FlaskClient, method: str) -> None:
    paths = [
        *map("".join, itertools.product(PREFIXES, ("/no/such/path", "//", "/%00/%ff"))),
        "/no/such/path",
        "/%00/%ff",
    ]
    for path in paths:
        answer = client.open(path, method=method)

        assert answer.status_code == 404
        assert answer.headers["Content-Type"] == "application/json"
        assert method == "HEAD" or api_error(answer) == (404, "not-found")


@pytest.mark.parametrize("prefix", [*PREFIXES, f"{PREFIXES[1]}/v1"])
def test_a_prefix_alone_is_404_in_the_envelope(client: FlaskClient, prefix: str) -> None:
    for path in (prefix, f"{prefix}/"):
        assert api_error(client.get(path)) == (404, "not-found")


@TESTING_OR_NOT
def test_a_wrong_method_is_405_and_names_the_right_ones(client: FlaskClient) -> None:
    for resource, path in ROUTES:
        right = {*resource.methods, "OPTIONS", *(["HEAD"] if "GET" in resource.methods else [])}
        for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"} - right:
            answer = client.open(example_path(path), method=method)

            assert (answer.status_code, answer.headers["Content-Type"]) == (405, "application/json")
            assert set(answer.headers["Allow"].split(", ")) == right
            assert method == "HEAD" or api_error(answer) == (405, "method-not-allowed")


def test_a_slash_at_the_end_changes_nothing(anna: FlaskClient) -> None:
    add_dog(anna)
    for (_, path), method in itertools.product(ROUTES, ("GET", "OPTIONS")):
        plain, slashed = (anna.open(f"{example_path(path)}{end}", method=method) for end in ("", "/"))

        assert slashed.status_code == plain.status_code
        assert slashed.status_code not in range(300, 400)
        assert method == "GET" or slashed.status_code == 200


def test_a_write_with_a_slash_at_the_end_keeps_its_body(client: FlaskClient) -> None:
    body = {"username": "Anna", "email": "anna@example.com", "password": PASSWORD}
    assert client.post("/user/register/", json=body).status_code == 201
    added = client.post("/api/v1/dogs/", json={"name": "Rex", "breed": "Poodle"})

    assert added.status_code == 201
    assert added.headers["Location"] == f"http://localhost:8000/api/v1/dogs/{added.json['data']['id']}"


@pytest.mark.parametrize("path", ["//user/login", "/user//login", "/api/v1/dogs//", "/api/v1/../v1/dogs"])
def test_a_path_that_is_written_oddly_is_not_redirected(client: FlaskClient, path: str) -> None:
    assert api_error(client.post(path, json={})) == (404, "not-found")


# Headers that no client should send

ODD_HEADERS = {
    "Accept": ["", "\x7f", ";;q=", "*/*;q=NaN", "application/problem+json;q=-1", "x" * 5000, "é"],
    "Authorization": ["", "Bearer", "Bearer \x7f", "Basic", "Basic !!!", "Digest a=b,c", "Bearer " + "x" * 5000, "é"],
    "Content-Type": ["", ";", "a/b/c", 'application/json; charset="', 'multipart/form-data; boundary="', "json", "é"],
    "Cookie": ["session", "session=", "session=\xff", "session=.e30.x.y", ";;=;", "session=" + "x" * 5000, "=x"],
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
@pytest.mark.parametrize("name", ODD_HEADERS)
def test_a_request_with_an_odd_header_gets_an_answer(make_app: Callable[..., Flask], name: str, proxies: int) -> None:
    app = make_app(TRUSTED_PROXIES=proxies, RATELIMIT_ENABLED=False)
    anna = register(app, "Anna")
    dog = f"/api/v1/dogs/{add_dog(anna)['id']}"
    asks = [*ASKS, ("GET", dog), ("PATCH", dog), ("PUT", "/user/picture"), ("POST", "/user/register")]
    for value, (method, path) in itertools.product(ODD_HEADERS[name], asks):
        answer = anna.open(path, method=method, headers={name: value}, data=b'{"name": "Max"}')

        assert answer.status_code < 500, (value, path)
        assert answer.status_code < 400 or answer.mimetype in ("application/json", PROBLEM)
        assert answer.headers["X-Request-ID"]


# Our own mistakes

TEXT = "SELECT password_hash FROM users: /srv/kennel/dogs.sqlite, swordfish"
SECRETS = (*TEXT.replace(",", "").replace(":", "").split(), "RuntimeError", "Traceback", "raise", ".py")


def crash() -> None:
    raise RuntimeError(TEXT)


@TESTING_OR_NOT
@pytest.mark.parametrize("accept", ["*/*", PROBLEM])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_crash_is_500_without_a_word_about_it_and_is_logged(app: Flask, prefix: str, accept: str) -> None:
    app.add_url_rule(f"{prefix}/crash/now", view_func=crash)
    log = capture_log()

    answer = app.test_client().get(f"{prefix}/crash/now", headers={"Accept": accept, "X-Request-ID": "the-crash"})

    assert answer.status_code == 500
    assert answer.mimetype == (PROBLEM if accept == PROBLEM else "application/json")
    assert not [secret for secret in SECRETS if secret in answer.get_data(as_text=True) + str(answer.headers)]
    failure, traceback = log.getvalue().split("\n", 1)
    assert "ERROR" in failure
    assert "request_id=the-crash" in failure
    assert "in crash\n    raise RuntimeError(TEXT)" in traceback
    assert TEXT not in traceback


@BOTH_ENGINES
def test_a_crash_after_a_write_begins_leaves_the_database_usable(app: Flask, anna: FlaskClient) -> None:
    assert registration_with_a_bug(app, anna).status_code == 500

    assert add_dog(anna)["name"] == "Rex"
    assert anna.get("/user/2").status_code == 404


@TESTING_OR_NOT
def test_a_failure_of_the_disk_is_503_without_a_path(app: Flask, anna: FlaskClient) -> None:
    answer = registration_where_no_picture_can_be_kept(app, anna)

    assert api_error(answer) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.json["status"]["message"].startswith("Pictures can't be stored right now")
    assert not [word for word in ("/", ".webp", "Errno", "irectory") if word in answer.json["status"]["message"]]
    assert anna.get("/user/2").status_code == 404


def test_a_picture_that_can_not_be_read_is_503_and_its_profile_is_not(app: Flask, anna: FlaskClient) -> None:
    account = anna.get("/user/profile").json["data"]
    folder = picture_store.get(app).files
    folder.path = folder.path / account["image"]  # a file

    answer = anna.get(f"/profile_pics/{account['image']}")

    assert api_error(answer) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert anna.get("/user/profile").json["data"] == account


def test_a_full_disk_is_507_and_reading_goes_on(app: Flask, anna: FlaskClient) -> None:
    before = anna.get("/api/v1/dogs").json["data"]

    answer = write_to_a_full_disk(app, anna)

    assert api_error(answer) == (507, "insufficient-storage")
    assert "database or disk is full" not in answer.get_data(as_text=True)
    assert "Retry-After" not in answer.headers
    assert len(anna.get("/api/v1/dogs?limit=100").json["data"]) >= len(before)
    assert anna.get("/user/profile").status_code == 200


@TESTING_OR_NOT
@SQLITE_ONLY
def test_a_locked_database_is_503_until_it_is_free(app: Flask, anna: FlaskClient, settings: dict[str, Any]) -> None:
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
@pytest.mark.parametrize("gone", ["file", "folder"])
def test_a_database_that_is_gone_is_503(app: Flask, settings: dict[str, Any], gone: str) -> None:
    app.extensions["database"].close()
    path = Path(settings["DATABASE_URL"].removeprefix("sqlite:///"))
    if gone == "file":
        path.unlink()
    else:
        app.extensions["database"].init(str(path.parent / "unmounted" / path.name))
    client = app.test_client()

    for answer in (client.get("/api/v1/dogs"), client.post("/user/login", json={"username": "A", "password": "wrong"})):
        assert api_error(answer) == (503, "unavailable")
        assert int(answer.headers["Retry-After"]) > 0
        assert not [word for word in ("table", "open", "sqlite") if word in answer.get_data(as_text=True)]
    assert client.get("/health/live").status_code == 200


# No answer and no log line holds a password that was sent

MARK = "zw0rdf!"  # too short for a password, so that longer and shorter ones can hold it
LONG = f"{MARK}-and-more"
FIELDS = ("password", "current_password", "new_password")
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=limit"
CONTENT_TYPES = ["application/json", FORM, MULTIPART, "multipart/form-data", "text/plain", "application/xml", None]


def bodies() -> dict[str, bytes]:
    """Bodies with the password in them, right and broken in many ways."""
    whole = dict.fromkeys(FIELDS, LONG)
    text = json.dumps({**whole, "username": "Carl", "email": "carl@example.com", "remember": True})
    form = urlencode(whole).encode()
    parts = multipart_form(*((name, None, LONG.encode()) for name in FIELDS))["data"]
    return {
        "object": json.dumps(whole).encode(),
        "list in place of a text": json.dumps({name: [LONG] for name in FIELDS}).encode(),
        "object in place of a text": json.dumps({name: {"password": LONG} for name in FIELDS}).encode(),
        "no object": json.dumps([LONG, whole]).encode(),
        "a text alone": json.dumps(LONG).encode(),
        "broken": text[:-1].encode(),
        "cut within the password": json.dumps(whole)[:-3].encode(),
        "two objects": (text + text).encode(),
        "not UTF-8": text.encode().replace(b"Carl", b"C\xe4rl"),
        "with a BOM": b"\xef\xbb\xbf" + text.encode(),
        "NaN": text.replace("true", "NaN").encode(),
        "half a surrogate pair": text.replace(LONG, LONG + r"\ud800").encode(),
        "control characters": json.dumps(dict.fromkeys(FIELDS, f"{LONG}\x00")).encode(),
        "too long": json.dumps(dict.fromkeys(FIELDS, LONG * 40)).encode(),
        "too short": json.dumps(dict.fromkeys(FIELDS, MARK)).encode(),
        "too large": text.encode() + b" " * 65536,
        "form": form,
        "form, each field twice": form + b"&" + form,
        "form, cut": form[:-2],
        "form, odd": form.replace(b"=", b"=%", 1) + b"&&=;",
        "parts": parts,
        "parts, each twice": parts[: -len(b"--limit--\r\n")] + parts,
        "parts, the password as a file": multipart_form(*((name, "x", LONG.encode()) for name in FIELDS))["data"],
        "parts, cut": parts[:-16],
    }


@TESTING_OR_NOT
@pytest.mark.parametrize("content_type", CONTENT_TYPES, ids=str)
def test_no_answer_and_no_log_line_holds_a_password_of_a_body_that_is_refused(
    app: Flask, anna: FlaskClient, content_type: str | None
) -> None:
    log = capture_log()
    accepts = itertools.cycle(["*/*", PROBLEM, "text/html"])
    verbs = [
        (method, example_path(path))
        for resource, path in ROUTES
        for method in sorted(resource.methods)
        if hasattr(getattr(resource, method.lower()), "body_schema")
    ]
    told = []
    for (method, path), (variant, body) in itertools.product(verbs, bodies().items()):
        headers = {"Accept": next(accepts)}
        answer = anna.open(path, method=method, data=body, headers=headers, content_type=content_type)
        assert answer.status_code < 500
        if MARK in answer.get_data(as_text=True) + str(answer.headers):
            told.append((method, path, variant))

    assert told == []
    assert log.getvalue().count("\n") == len(verbs) * len(bodies())
    assert MARK not in log.getvalue()


WRONG = {"current_password": LONG}


@TESTING_OR_NOT
@pytest.mark.parametrize("accept", ["*/*", PROBLEM])
@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/user/login", {"username": "Anna", "password": LONG}, 401),
        ("POST", "/user/login", {"username": "Carl", "password": LONG}, 401),
        ("POST", "/user/register", {"username": "anna", "email": "other@example.com", "password": LONG}, 409),
        ("POST", "/user/register", {"username": "Carl", "email": "carl@example.com", "password": LONG}, 201),
        ("PATCH", "/user/profile", {**WRONG, "email": "new@example.com"}, 403),
        ("PATCH", "/user/profile", WRONG, 200),
        ("DELETE", "/user/profile", WRONG, 403),
        ("PUT", "/user/password", {**WRONG, "new_password": LONG}, 403),
        ("PUT", "/user/password", {"current_password": PASSWORD, "new_password": LONG}, 200),
    ],
)
def test_no_answer_and_no_log_line_holds_a_password_that_was_looked_at(
    anna: FlaskClient, method: str, path: str, body: dict[str, Any], status: int, accept: str
) -> None:
    log = capture_log()

    answer = anna.open(path, method=method, json=body, headers={"Accept": accept})

    assert answer.status_code == status
    assert MARK not in answer.get_data(as_text=True) + str(answer.headers)
    assert f"status={status}" in log.getvalue()
    assert MARK not in log.getvalue()


@pytest.mark.parametrize("header", [f"Basic {base64.b64encode(f'Anna:{LONG}'.encode()).decode()}", f"Bearer {MARK}"])
@pytest.mark.parametrize("accept", ["*/*", PROBLEM])
def test_no_answer_and_no_log_line_holds_what_the_query_path_cookie_or_header_says(
    app: Flask, header: str, accept: str
) -> None:
    log = capture_log()
    client = app.test_client()
    client.set_cookie("session", MARK)
    headers = {"Accept": accept, "Authorization": header, "Referer": f"http://localhost/?{MARK}"}
    for resource, path in ROUTES:
        for method in sorted({*resource.methods, "TRACE", "OPTIONS"}):
            for url in (f"{example_path(path)}?password={MARK}", f"/user/{MARK}?{urlencode({'q': MARK})}"):
                answer = client.open(url, method=method, headers=headers)
                text = answer.get_data(as_text=True) + str(answer.headers)
                assert not [secret for secret in (MARK, header.split()[1]) if secret in text]
    assert log.getvalue()
    assert not [secret for secret in (MARK, header.split()[1]) if secret in log.getvalue()]


@TESTING_OR_NOT
def test_no_answer_and_no_log_line_holds_a_password_when_the_server_crashes(app: Flask, anna: FlaskClient) -> None:
    log = capture_log()
    hasher.set(app, hasher.get(app)._replace(dummy_hash=LONG))  # no hash, so bcrypt fails on it

    answer = anna.post("/user/login", json={"username": "Nobody", "password": LONG})

    assert api_error(answer) == (500, "internal")
    assert MARK not in answer.get_data(as_text=True)
    assert "ERROR" in log.getvalue()
    assert "verify_password" in log.getvalue()
    assert MARK not in log.getvalue()
