"""Logs: one line per request in JSON or text, exceptions with traceback, no user input and no secrets."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from marshmallow import Schema, fields

from api.http.request import current_request
from api.observability.logs import shorten_address
from api.resources.base import Resource, takes
from api.routes import KennelApi
from api.version import version

from .engines import BOTH_ENGINES
from .factories import PASSWORD, add_dog, bearer_headers, capture_log, register
from .live_server import Server, wait_until

MakeApp = Callable[..., Flask]
REQUEST_FIELDS = {"time", "level", "message", "method", "route", "status", "duration_ms", "user_id", "request_id"}
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00"


@pytest.fixture
def app(make_app: MakeApp) -> Flask:
    """The application with JSON logs and a resource that raises."""
    return add_crash_resource(make_app(LOG_FORMAT="json"))


class AnySchema(Schema):
    """Fields that accept any value."""

    password = fields.Raw()
    new_password = fields.Raw()
    note = fields.Raw()


class Crash(Resource):
    """A resource that raises an exception whose message contains its input and the given secrets."""

    public = {"POST"}
    message_parts: tuple[str, ...] = ()

    @takes(AnySchema)
    def post(self, body: dict[str, Any]) -> None:
        try:
            raise KeyError(self.message_parts)
        except KeyError as error:
            raise RuntimeError(f"It broke: {' '.join(self.message_parts)} {body} {json.dumps(body)}") from error


def add_crash_resource(app: Flask) -> Flask:
    KennelApi(app).add_resource(Crash, "/api/crash")
    return app


def parse_log(log: io.StringIO) -> list[dict[str, Any]]:
    """Return the records of a JSON log."""
    return [json.loads(line) for line in log.getvalue().splitlines()]


def test_request_is_logged_as_one_line_with_all_fields(anna: FlaskClient) -> None:
    log = capture_log()

    anna.get("/user/1", headers={"X-Request-ID": "first"})
    anna.get("/user/profile", headers={"X-Request-ID": "second"})

    public, own = parse_log(log)
    assert set(public) == REQUEST_FIELDS - {"user_id"}  # a public route does not load the user
    assert set(own) == REQUEST_FIELDS
    assert own["message"] == "request"
    assert (own["method"], own["route"], own["status"]) == ("GET", "/user/profile", 200)
    assert (own["user_id"], own["request_id"], own["level"]) == (1, "second", "info")
    assert public["route"] == "/user/<id:user_id>"
    assert re.fullmatch(TIME, own["time"])
    assert own["duration_ms"] >= 0


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
def test_every_response_is_logged_as_one_line(
    client: FlaskClient, method: str, path: str, route: str, status: int
) -> None:
    log = capture_log()

    response = client.open(path, method=method)

    (line,) = parse_log(log)
    assert (line["method"], line["route"], line["status"]) == (method, route, status)
    assert response.status_code == status
    assert line["request_id"] == response.headers["X-Request-ID"]


def test_login_is_logged_with_user_id(app: Flask, anna: FlaskClient) -> None:
    log = capture_log()

    app.test_client().post("/user/login", json={"username": "Anna", "password": PASSWORD})

    assert [line["user_id"] for line in parse_log(log)] == [1]


def test_text_format_has_the_same_fields(make_app: MakeApp) -> None:
    anna = register(make_app(LOG_FORMAT="text"), "Anna")
    log = capture_log()

    anna.get("/user/profile?x=1", headers={"X-Request-ID": "mine"})

    fields = r"method=GET route=/user/profile status=422 duration_ms=\d+\.\d user_id=1 "
    fields += "error_type=/errors/validation request_id=mine"
    assert re.fullmatch(rf"{TIME} INFO request {fields}\n", log.getvalue())


def test_text_format_quotes_values_with_spaces(make_app: MakeApp) -> None:
    client = make_app(LOG_FORMAT="text").test_client()
    log = capture_log()

    client.get("/no/such/path")

    assert ' route="(no route)" status=404 ' in log.getvalue()


def test_log_goes_to_stderr(capsys: pytest.CaptureFixture[str], make_app: MakeApp) -> None:
    make_app().test_client().get("/health/live")

    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "route=/health/live" in err


@pytest.mark.parametrize(("level", "levels"), [("info", ["info", "error", "info"]), ("warning", ["error"])])
def test_log_level_filters_lines(make_app: MakeApp, level: str, levels: list[str]) -> None:
    client = add_crash_resource(make_app(LOG_FORMAT="json", LOG_LEVEL=level)).test_client()
    log = capture_log()

    client.get("/health/live")
    client.post("/api/crash", json={})

    assert [line["level"] for line in parse_log(log)] == levels


def test_second_application_does_not_duplicate_lines(make_app: MakeApp) -> None:
    make_app()
    client = make_app(LOG_FORMAT="json").test_client()
    log = capture_log()

    client.get("/health/live")

    assert len(parse_log(log)) == 1


# Logs of libraries


@pytest.mark.parametrize("name", ["psycopg.pool", "psycopg", "obstore", "py.warnings"])
def test_library_warning_is_logged(make_app: MakeApp, name: str) -> None:
    make_app(LOG_FORMAT="json")
    make_app(LOG_FORMAT="json")  # a second application does not duplicate lines
    log = capture_log()

    logging.getLogger(name).info("Executing SELECT 'swordfish'")
    logging.getLogger(name).warning("error connecting in %r: %s", "pool-1", "connection refused")

    (line,) = parse_log(log)
    assert line["logger"] == name
    assert (line["level"], line["message"]) == ("warning", "error connecting in 'pool-1': connection refused")


def test_debug_level_does_not_apply_to_libraries(make_app: MakeApp) -> None:
    client = make_app(LOG_FORMAT="json", LOG_LEVEL="debug").test_client()
    log = capture_log()

    client.post("/user/login", json={"username": "Anna", "password": PASSWORD})

    assert [line["route"] for line in parse_log(log)] == ["/user/login"]


def test_library_exception_message_is_redacted(make_app: MakeApp) -> None:
    make_app(LOG_FORMAT="json")
    log = capture_log()

    try:
        raise ValueError(SECRET)
    except ValueError:
        logging.getLogger("psycopg").exception("It broke")

    (line,) = parse_log(log)
    assert "ValueError" in line["exception"]
    assert SECRET not in log.getvalue()


def test_server_logs_only_json_when_worker_dies(make_server: Callable[..., Server]) -> None:
    server = make_server(LOG_FORMAT="json").start()
    process = server.process
    assert process
    requests.get(f"{server.url}/user/1", timeout=30)
    worker = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0]

    os.kill(int(worker), signal.SIGKILL)
    wait_until(lambda: "Unexpected exit" in server.output(), "log line")
    assert server.stop() == 0

    greeting = ("Applied ", f"Kennel {version()} running at ", "Press Ctrl-C to stop.")  # to standard output
    lines = [json.loads(line) for line in server.output().splitlines() if not line.startswith(greeting)]
    (death,) = [line for line in lines if "logger" in line]
    assert (death["level"], death["message"]) == ("error", "Unexpected exit from worker-1")
    assert any(line.get("route") == "/user/<id:user_id>" for line in lines)


# Secrets and user input

SECRET = "swordfish and chips"


@BOTH_ENGINES
def test_log_contains_no_user_input_or_credentials(app: Flask) -> None:
    log = capture_log()
    body = {"username": "Anna of swordfish", "email": "anna.swordfish@example.com", "password": SECRET}
    client = app.test_client()
    client.post("/user/register", json=body)
    client.post("/user/login", data={"email": body["email"], "password": SECRET})
    client.post("/user/login", json={"username": "Anna of swordfish", "password": f"not {SECRET}"})
    add_dog(client, name="swordfish", owner="swordfish")
    client.get("/api/v1/dogs?q=swordfish&swordfish=1")
    client.get("/swordfish/swordfish")
    client.get("/profile_pics/swordfish")
    client.get("/health/live", headers={"User-Agent": SECRET, "Referer": SECRET, "Authorization": f"Bearer {SECRET}"})
    client.get("/health/live", headers={"X-Request-ID": "swordfish?", "Cookie": "kennel_session=swordfish"})
    token = bearer_headers("Anna of swordfish")["Authorization"]
    client.get("/user/profile", headers={"Authorization": token})
    cookie = client.get_cookie("kennel_session")

    assert len(parse_log(log)) == 10
    assert cookie
    for secret in ("swordfish", "Anna", "example.com", token.split()[1], cookie.value):
        assert secret not in log.getvalue()


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_exception_is_logged_with_request_id_and_traceback(make_app: MakeApp, log_format: str) -> None:
    client = add_crash_resource(make_app(LOG_FORMAT=log_format)).test_client()
    log = capture_log()

    client.post("/api/crash", json={}, headers={"X-Request-ID": "the-crash"})

    text = log.getvalue()
    assert text.count("the-crash") == 2
    for part in ("RuntimeError", "KeyError", "test_logs.py", "in post", "raise KeyError(self.message_parts)"):
        assert part in text
    if log_format == "json":
        crash, request = parse_log(log)
        assert set(crash) == {"time", "level", "message", "request_id", "exception"}
        assert crash["level"] == "error"
        assert request["status"] == 500


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize("log_level", ["info", "warning", "error"])
@pytest.mark.parametrize(
    "password",
    [SECRET, f"{SECRET} und Käse", f'{SECRET}"', f"{SECRET}'", rf"\{SECRET}", f"{SECRET}\n", f"{SECRET}\x00🐶\u2028"],
    ids=["ascii", "umlaut", "quote", "apostrophe", "backslash", "line break", "control and emoji"],
)
def test_logged_exception_redacts_secrets(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch, log_format: str, log_level: str, password: str
) -> None:
    app = add_crash_resource(make_app(LOG_FORMAT=log_format, LOG_LEVEL=log_level))
    anna = register(app, "Anna")
    cookie = anna.get_cookie("kennel_session")
    assert cookie
    token = bearer_headers("Anna")["Authorization"].split()[1]
    secrets = (password, repr(password), json.dumps(password), cookie.value, token, "anna@example.com")
    monkeypatch.setattr(Crash, "message_parts", secrets)
    log = capture_log()

    for content in ({"json": {"password": password, "note": [SECRET]}}, {"data": {"new_password": password}}):
        response = anna.post("/api/crash", headers={"Authorization": f"Bearer {token}"}, **content)
        assert response.status_code == 500

    assert log.getvalue().count("RuntimeError") >= 2
    for secret in (SECRET, cookie.value, token, "anna@example.com"):
        assert secret not in log.getvalue()


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize("log_level", ["debug", "info"])
def test_exception_with_unpaired_surrogate_is_logged(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch, log_format: str, log_level: str
) -> None:
    # Standard error as Python opens it. When a handler fails, logging prints the record there, secrets included.
    stderr = io.TextIOWrapper(io.BytesIO(), "utf-8", errors="backslashreplace", write_through=True)
    monkeypatch.setattr(sys, "stderr", stderr)
    client = add_crash_resource(make_app(LOG_FORMAT=log_format, LOG_LEVEL=log_level)).test_client()
    monkeypatch.setattr(Crash, "message_parts", ("a file name: \udcff",))

    response = client.post("/api/crash", json={})

    assert response.status_code == 500
    stderr.seek(0)
    output = stderr.read()
    assert "RuntimeError" in output
    assert "Logging error" not in output


def test_log_injection_is_escaped(app: Flask) -> None:
    log = capture_log()
    client = app.test_client()

    client.get("/user/1%0aINFO%20forged", headers={"User-Agent": "a b"})
    client.open("/health/live", method="GET\r\nINFO forged")

    assert all("forged" not in line["route"] for line in parse_log(log))
    assert log.getvalue().count("\n") == 2


# --- Refusals ---


def refuse(app: Flask, name: str) -> None:
    """Send a request that is refused for this reason, from a page and an address."""
    client = app.test_client()
    client.environ_base["REMOTE_ADDR"] = "192.0.2.77"
    page = {"Origin": "http://localhost:3000"}
    if name == "login":
        client.post("/user/login", json={"username": "Anna", "password": "swordfish"}, headers=page)
    elif name == "origin":
        client.post("/user/logout", headers={"Origin": "https://other.test"})
    elif name == "preflight":
        headers = {"Origin": "https://other.test", "Access-Control-Request-Method": "POST"}
        client.options("/user/login", headers=headers)
    else:
        for _ in range(31):
            client.post("/user/register", json={}, headers=page)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "login",
            {"status": 401, "error_type": "/errors/unauthorized", "account_id": 1, "origin": "http://localhost:3000"},
        ),
        ("origin", {"status": 403, "error_type": "/errors/cross-site", "origin": "https://other.test"}),
        ("preflight", {"status": 200, "origin": "https://other.test"}),
        ("limit", {"status": 429, "error_type": "/errors/too-many-requests", "origin": "http://localhost:3000"}),
    ],
)
def test_refusal_is_explained(app: Flask, anna: FlaskClient, name: str, expected: dict[str, Any]) -> None:
    log = capture_log()

    refuse(app, name)

    line = parse_log(log)[-1]
    assert expected.items() <= line.items()
    assert line["network"] == "192.0.2.0/24"
    assert "swordfish" not in str(line)


def test_other_lines_do_not_describe_the_client(app: Flask, anna: FlaskClient) -> None:
    log = capture_log()

    anna.get("/user/profile", headers={"Origin": "http://localhost:3000"})
    anna.get("/api/v1/dogs/9")

    assert not {"origin", "network"} & {*parse_log(log)[0], *parse_log(log)[1]}
    assert parse_log(log)[1]["error_type"] == "/errors/not-found"


def test_origin_that_is_no_origin_is_not_logged(app: Flask) -> None:
    log = capture_log()

    app.test_client().post("/user/logout", headers={"Origin": "anna@example.com"})

    assert "anna@example.com" not in str(parse_log(log))


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("192.0.2.77:40000", "192.0.2.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("[2001:db8:1:2::3]", "2001:db8:1::/48"),
        ("[2001:db8:1:2::3]:40000", "2001:db8:1::/48"),
        ("unix:", "unknown"),
        ("", "unknown"),
    ],
)
def test_address_is_shortened(app: Flask, address: str, network: str) -> None:
    with app.test_request_context(environ_overrides={"REMOTE_ADDR": address}):
        assert shorten_address(current_request().client_ip) == network
