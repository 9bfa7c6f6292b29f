"""The log: one line a request that says what happened, and never what a user typed or holds as a secret."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from marshmallow import Schema, fields

from api.resources.base import Resource, takes
from api.routes import KennelApi
from api.version import version

from .engines import BOTH_ENGINES
from .factories import PASSWORD, add_dog, bearer_headers, capture_log, register
from .live_server import Server

MakeApp = Callable[..., Flask]
FACTS = {"time", "level", "method", "route", "status", "ms", "user", "request_id"}
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00"


@pytest.fixture
def app(make_app: MakeApp) -> Flask:
    """The application, with a log for machines and a verb that crashes."""
    return with_crash(make_app(LOG_FORMAT="json"))


class AnySchema(Schema):
    """Whatever is sent in these."""

    password = fields.Raw()
    new_password = fields.Raw()
    note = fields.Raw()


class Crash(Resource):
    """A verb that crashes with everything that it knows in the text of its exception."""

    public = {"POST"}
    told: tuple[str, ...] = ()

    @takes(AnySchema)
    def post(self, given: dict[str, Any]) -> None:
        try:
            raise KeyError(self.told)
        except KeyError as error:
            raise RuntimeError(f"It broke: {' '.join(self.told)} {given} {json.dumps(given)}") from error


def with_crash(app: Flask) -> Flask:
    KennelApi(app).add_resource(Crash, "/api/crash")
    return app


def parsed(log: io.StringIO) -> list[dict[str, Any]]:
    """The lines of a log for machines."""
    return [json.loads(line) for line in log.getvalue().splitlines()]


def test_a_request_is_one_line_with_all_that_matters(anna: FlaskClient) -> None:
    log = capture_log()

    anna.get("/user/1", headers={"X-Request-ID": "first"})
    anna.get("/user/profile", headers={"X-Request-ID": "second"})

    public, own = parsed(log)
    assert set(public) == FACTS - {"user"}  # nobody asked who it was
    assert set(own) == FACTS
    assert (own["method"], own["route"], own["status"]) == ("GET", "/user/profile", 200)
    assert (own["user"], own["request_id"], own["level"]) == (1, "second", "info")
    assert public["route"] == "/user/<id:user_id>"
    assert re.fullmatch(TIME, own["time"])
    assert own["ms"] >= 0


@pytest.mark.parametrize(
    ("method", "path", "route", "status"),
    [
        ("GET", "/api/v1/dogs", "/api/v1/dogs", 200),
        ("GET", "/api/v1/dogs/", "/api/v1/dogs", 200),
        ("HEAD", "/api/v1/dogs", "/api/v1/dogs", 200),
        ("OPTIONS", "/api/v1/dogs", "/api/v1/dogs", 200),
        ("POST", "/user/login", "/user/login", 400),
        ("GET", "/user/profile", "/user/profile", 401),
        ("GET", "/api/v1/dogs/7", "/api/v1/dogs/<id:dog_id>", 404),
        ("GET", "/profile_pics/x.webp", "/profile_pics/<image>", 404),
        ("GET", "/no/such/path", "(no route)", 404),
        ("GET", "/user/login", "(no route)", 405),
        ("BREW", "/no/such/path", "(no route)", 404),
    ],
)
def test_every_kind_of_answer_is_one_line(client: FlaskClient, method: str, path: str, route: str, status: int) -> None:
    log = capture_log()

    answer = client.open(path, method=method)

    (line,) = parsed(log)
    assert (line["method"], line["route"], line["status"]) == (method, route, status)
    assert answer.status_code == status
    assert line["request_id"] == answer.headers["X-Request-ID"]


def test_the_line_of_a_login_names_who_logged_in(app: Flask, anna: FlaskClient) -> None:
    log = capture_log()

    app.test_client().post("/user/login", json={"username": "Anna", "password": PASSWORD})

    assert [line["user"] for line in parsed(log)] == [1]


def test_a_line_for_people_says_the_same(make_app: MakeApp) -> None:
    anna = register(make_app(LOG_FORMAT="text"), "Anna")
    log = capture_log()

    anna.get("/user/profile?x=1", headers={"X-Request-ID": "mine"})

    line = rf"{TIME} INFO method=GET route=/user/profile status=422 ms=\d+\.\d user=1 request_id=mine\n"
    assert re.fullmatch(line, log.getvalue())


def test_the_log_goes_to_standard_error(capsys: pytest.CaptureFixture[str], make_app: MakeApp) -> None:
    make_app().test_client().get("/health/live")

    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "route=/health/live" in err


@pytest.mark.parametrize(("level", "levels"), [("info", ["info", "error", "info"]), ("warning", ["error"])])
def test_lines_below_the_level_are_not_written(make_app: MakeApp, level: str, levels: list[str]) -> None:
    client = with_crash(make_app(LOG_FORMAT="json", LOG_LEVEL=level)).test_client()
    log = capture_log()

    client.get("/health/live")
    client.post("/api/crash", json={})

    assert [line["level"] for line in parsed(log)] == levels


def test_a_second_application_does_not_write_each_line_twice(make_app: MakeApp) -> None:
    make_app()
    client = make_app(LOG_FORMAT="json").test_client()
    log = capture_log()

    client.get("/health/live")

    assert len(parsed(log)) == 1


# What others say


@pytest.mark.parametrize("name", ["psycopg.pool", "psycopg", "obstore", "py.warnings"])
def test_what_a_library_warns_of_is_a_line_too(make_app: MakeApp, name: str) -> None:
    make_app(LOG_FORMAT="json")
    make_app(LOG_FORMAT="json")  # a second application does not write it twice
    log = capture_log()

    logging.getLogger(name).info("This is of no use to anybody: SELECT 'swordfish'")
    logging.getLogger(name).warning("error connecting in %r: %s", "pool-1", "connection refused")

    (line,) = parsed(log)
    assert line["logger"] == name
    assert (line["level"], line["message"]) == ("warning", "error connecting in 'pool-1': connection refused")


def test_a_library_says_no_more_at_the_level_debug(make_app: MakeApp) -> None:
    client = make_app(LOG_FORMAT="json", LOG_LEVEL="debug").test_client()
    log = capture_log()

    client.post("/user/login", json={"username": "Anna", "password": PASSWORD})

    assert [line["route"] for line in parsed(log)] == ["/user/login"]


def test_the_text_of_a_librarys_exception_is_not_quoted(make_app: MakeApp) -> None:
    make_app(LOG_FORMAT="json")
    log = capture_log()

    try:
        raise ValueError(SECRET)
    except ValueError:
        logging.getLogger("psycopg").exception("It broke")

    (line,) = parsed(log)
    assert "ValueError" in line["exception"]
    assert SECRET not in log.getvalue()


def test_every_line_of_a_real_server_is_json_also_when_a_worker_dies(make_server: Callable[..., Server]) -> None:
    server = make_server(LOG_FORMAT="json").start()
    process = server.process
    assert process
    requests.get(f"{server.url}/user/1", timeout=30)
    worker = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0]

    os.kill(int(worker), signal.SIGKILL)
    while "Unexpected exit" not in server.output():
        time.sleep(0.02)  # another process: there is no event to wait for
    assert server.stop() == 0

    greeting = ("Applied ", f"Kennel {version()} running at ", "Press Ctrl-C to stop.")  # to standard output
    lines = [json.loads(line) for line in server.output().splitlines() if not line.startswith(greeting)]
    (death,) = [line for line in lines if "logger" in line]
    assert (death["level"], death["message"]) == ("error", "Unexpected exit from worker-1")
    assert any(line.get("route") == "/user/<id:user_id>" for line in lines)


# What is never in it

SECRET = "swordfish"


@BOTH_ENGINES
def test_nothing_that_users_typed_or_hold_is_in_the_lines(app: Flask) -> None:
    log = capture_log()
    body = {"username": "Anna swordfish", "email": "anna.swordfish@example.com", "password": SECRET}
    client = app.test_client()
    client.post("/user/register", json=body)
    client.post("/user/login", data={"email": body["email"], "password": SECRET})
    client.post("/user/login", json={"username": "Anna swordfish", "password": f"not {SECRET}"})
    add_dog(client, name="swordfish", owner="swordfish")
    client.get("/api/v1/dogs?q=swordfish&swordfish=1")
    client.get("/swordfish/swordfish")
    client.get("/profile_pics/swordfish")
    client.get("/health/live", headers={"User-Agent": SECRET, "Referer": SECRET, "Authorization": f"Bearer {SECRET}"})
    client.get("/health/live", headers={"X-Request-ID": "swordfish?", "Cookie": "session=swordfish"})
    token = bearer_headers("Anna swordfish")["Authorization"]
    client.get("/user/profile", headers={"Authorization": token})
    cookie = client.get_cookie("session")

    assert len(parsed(log)) == 10
    assert cookie
    for secret in (SECRET, "Anna", "example.com", token.split()[1], cookie.value):
        assert secret not in log.getvalue()


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_crash_is_logged_with_its_request_id_its_cause_and_where_it_happened(
    make_app: MakeApp, log_format: str
) -> None:
    client = with_crash(make_app(LOG_FORMAT=log_format)).test_client()
    log = capture_log()

    client.post("/api/crash", json={}, headers={"X-Request-ID": "the-crash"})

    text = log.getvalue()
    assert text.count("the-crash") == 2
    for part in ("RuntimeError", "KeyError", "test_logs.py", "in post", "raise KeyError(self.told)"):
        assert part in text
    if log_format == "json":
        crash, request = parsed(log)
        assert set(crash) == {"time", "level", "message", "request_id", "exception"}
        assert crash["level"] == "error"
        assert request["status"] == 500


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize("log_level", ["info", "warning", "error"])
@pytest.mark.parametrize(
    "password",
    [SECRET, f"{SECRET} und Käse", f'{SECRET}"', f"{SECRET}'", rf"\{SECRET}", f"{SECRET}\n", f"{SECRET}\x00🐶\u2028"],
    ids=["plain", "umlaut", "quote", "apostrophe", "backslash", "line break", "odd"],
)
def test_a_crash_is_logged_without_a_secret_in_whatever_spelling(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch, log_format: str, log_level: str, password: str
) -> None:
    app = with_crash(make_app(LOG_FORMAT=log_format, LOG_LEVEL=log_level))
    anna = register(app, "Anna")
    cookie = anna.get_cookie("session")
    assert cookie
    token = bearer_headers("Anna")["Authorization"].split()[1]
    told = (password, repr(password), json.dumps(password), cookie.value, token, "anna@example.com")
    monkeypatch.setattr(Crash, "told", told)
    log = capture_log()

    for content in ({"json": {"password": password, "note": [SECRET]}}, {"data": {"new_password": password}}):
        answer = anna.post("/api/crash", headers={"Authorization": f"Bearer {token}"}, **content)
        assert answer.status_code == 500

    assert log.getvalue().count("RuntimeError") >= 2
    for secret in (SECRET, cookie.value, token, "anna@example.com"):
        assert secret not in log.getvalue()


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize("log_level", ["debug", "info"])
def test_a_crash_with_half_a_surrogate_pair_in_its_text_is_logged_all_the_same(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch, log_format: str, log_level: str
) -> None:
    # Standard error as Python opens it. What the log can't write, Python's logging would print there, secrets and all.
    stderr = io.TextIOWrapper(io.BytesIO(), "utf-8", errors="backslashreplace", write_through=True)
    monkeypatch.setattr(sys, "stderr", stderr)
    client = with_crash(make_app(LOG_FORMAT=log_format, LOG_LEVEL=log_level)).test_client()
    monkeypatch.setattr(Crash, "told", ("a file name: \udcff",))

    answer = client.post("/api/crash", json={})

    assert answer.status_code == 500
    stderr.seek(0)
    written = stderr.read()
    assert "RuntimeError" in written
    assert "Logging error" not in written


def test_a_line_stays_one_line_whatever_is_sent(app: Flask) -> None:
    log = capture_log()
    client = app.test_client()

    client.get("/user/1%0aINFO%20forged", headers={"User-Agent": "a b"})
    client.open("/health/live", method="GET\r\nINFO forged")

    assert all("forged" not in line["route"] for line in parsed(log))
    assert log.getvalue().count("\n") == 2
