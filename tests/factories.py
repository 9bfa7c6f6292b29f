"""Factories of test data, most of it created through the API, and helpers to observe and interleave requests."""

from __future__ import annotations

import io
import logging
import re
import sys
import threading
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from PIL import Image

from api.http.concurrency import EVERYONE, ConcurrencyLimiter
from api.pictures.default import render_avatar
from api.pictures.store import picture_store
from api.security.passwords import hasher
from models import Dog, Session, User, database

PASSWORD = "correct horse"
PHOTOS = Path(__file__).parent / "photos"


def assigned_characters() -> list[str]:
    """Return the characters that Unicode defines. The others, and private ones, have no case and no decomposition."""
    characters = map(chr, range(sys.maxunicode + 1))
    return [text for text in characters if unicodedata.category(text) not in ("Cn", "Co", "Cs")]


def register(app: Flask, username: str, **fields: Any) -> FlaskClient:
    """Register a user and return a client logged in as them."""
    client = app.test_client()
    body = {"username": username, "email": f"{username.lower()}@example.com", "password": PASSWORD, **fields}
    response = client.post("/user/register", json=body)
    assert response.status_code == 201, response.json
    return client


def create_account(app: Flask, username: str) -> FlaskClient:
    """Return a client logged in as a new user, as `register` does, at a fraction of its cost.

    The models store the account, its default picture and its session as a registration does, and the client holds the
    signed cookie of that session. The hash of the password and the picture are made once per process.
    """
    with app.app_context():
        picture = picture_store.get().save(default_picture(username), is_default=True)
        user = Session.register(
            username=username,
            email=f"{username.lower()}@example.com",
            password_hash=hash_test_password(app.config["BCRYPT_LOG_ROUNDS"]),
            picture=picture,
        )
    client = app.test_client()
    with client.session_transaction() as cookie:
        cookie["_user_id"] = user.get_id()  # as Flask-Login does
    return client


@cache
def hash_test_password(rounds: int) -> str:
    """Return a hash of `PASSWORD` with the cost of the current application."""
    return hasher.get().generate_password_hash(PASSWORD, rounds).decode()


default_picture = cache(render_avatar)


def add_dog(client: FlaskClient, **fields: Any) -> dict[str, Any]:
    """Create a dog of the logged-in user and return it."""
    response = client.post("/api/v1/dogs", json={"name": "Rex", "breed": "Poodle", **fields})
    assert response.status_code == 201, response.json
    return response.json["data"]


def insert_dogs(rows: Sequence[dict[str, Any]]) -> None:
    """Insert dogs with these columns. PostgreSQL takes thousands five times as fast as by `insert_many`."""
    fields = [Dog._meta.fields[name] for name in rows[0]]
    columns = ", ".join(field.column_name for field in fields)
    values = ", ".join([database.param] * len(fields))
    with database.atomic():
        database.cursor().executemany(
            f"INSERT INTO dogs ({columns}) VALUES ({values})",
            [[field.db_value(row[field.name]) for field in fields] for row in rows],
        )


def photo(name: str = "grace_hopper.jpg") -> tuple[io.BytesIO, str]:
    """Return a photograph as the test client uploads it."""
    return io.BytesIO((PHOTOS / name).read_bytes()), name


def make_image(size: tuple[int, int] = (300, 400), kind: str = "PNG", mode: str = "RGB", **options: Any) -> bytes:
    """Return a small picture in one of Pillow's formats."""
    buffer = io.BytesIO()
    Image.new(mode, size, 200 if mode == "L" else None).save(buffer, kind, **options)
    return buffer.getvalue()


def multipart_form(*parts: tuple[str, str | None, bytes]) -> dict[str, Any]:
    """Return a multipart form, byte for byte as browsers send it, as keyword arguments of a test client.

    A part is its name, its file name (None for text, "" for an empty file input) and its content.
    """
    body = b""
    for name, filename, content in parts:
        file = "" if filename is None else f'; filename="{filename}"\r\nContent-Type: application/octet-stream'
        body += f'--limit\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + content + b"\r\n"
    return {"data": body + b"--limit--\r\n", "content_type": "multipart/form-data; boundary=limit"}


def run_concurrently(app: Flask, *operations: Callable[[], Any]) -> list[Any]:
    """Run each operation in a thread, start all of them at the same time, and return their results."""
    gate = threading.Barrier(len(operations))

    def run(operation: Callable[[], Any]) -> Any:
        gate.wait()
        try:
            return operation()
        finally:
            app.extensions["database"].close()  # this thread's own connection

    with ThreadPoolExecutor(len(operations)) as threads:
        return list(threads.map(run, operations))


def sqlite_file(url: str) -> Path:
    """Return the file of a SQLite database."""
    return Path(url.removeprefix("sqlite:///"))


@contextmanager
def trace_sql(app: Flask, callback: Callable[[str], Any]) -> Iterator[None]:
    """Call `callback` with each SQL statement of this thread within the block, before it is executed."""
    database = app.extensions["database"]
    thread = threading.get_ident()
    original_cursor = database.cursor

    def cursor(*args: Any, **kwargs: Any) -> Any:
        return (
            TracedCursor(original_cursor(*args, **kwargs), callback)
            if threading.get_ident() == thread
            else original_cursor(*args, **kwargs)
        )

    database.cursor = cursor
    try:
        yield
    finally:
        del database.cursor


class TracedCursor:
    """A cursor that passes each statement to a callback before it is executed."""

    def __init__(self, cursor: Any, callback: Callable[[str], Any]) -> None:
        self.cursor = cursor
        self.callback = callback

    def execute(self, statement: str, *args: Any) -> Any:
        """Execute a statement."""
        self.callback(statement)
        return self.cursor.execute(statement, *args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.cursor, name)

    def __iter__(self) -> Any:
        return iter(self.cursor)


@contextmanager
def interleave(app: Flask, *operations: Callable[[], Any]) -> Iterator[list[Any]]:
    """Run one operation before each transaction of the block, like a concurrent request, and yield their results."""
    database = app.extensions["database"]
    thread = threading.get_ident()
    begin = database.begin
    waiting = list(operations)
    done: list[Any] = []

    def interrupted(*args: Any) -> None:
        if threading.get_ident() == thread and waiting:
            done.extend(run_concurrently(app, waiting.pop(0)))
        begin(*args)

    database.begin = interrupted
    try:
        yield done
    finally:
        del database.begin
    assert len(done) == len(operations), "an operation failed, or the block began too few transactions"


def example_path(path: str) -> str:
    """Return a path that matches this route. What it names need not exist."""
    path = re.sub(r"<id:\w+>", "1", path)
    return path.replace("<image>", "x.webp").replace("<slug>", "conflict")


def api_error(response: Any) -> tuple[int, str]:
    """Check the error envelope and return the status and the error type."""
    body = response.json() if callable(response.json) else response.json
    assert set(body) == {"data", "status", "error"}
    assert body["data"] == {}
    assert set(body["status"]) == {"code", "message"}
    assert body["status"]["code"] == response.status_code
    assert body["status"]["message"]
    assert body["status"]["message"] != "Success"
    assert {"type", "request_id"} <= set(body["error"]) <= {"type", "request_id", "fields"}
    assert body["error"]["request_id"] == response.headers["X-Request-ID"]
    assert response.headers["Content-Type"] == "application/json"
    prefix, slug = body["error"]["type"].split("/errors/")
    assert not prefix
    return response.status_code, slug


def bearer_headers(username: str) -> dict[str, str]:
    """Start a session for this user and return its Authorization header."""
    user = User.find_by_login(username)
    assert user
    return {"Authorization": f"Bearer {Session.start(user).key}"}


def capture_log() -> io.StringIO:
    """Redirect the log of the latest application to the returned stream."""
    stream = io.StringIO()
    handler = logging.getLogger("kennel").handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(stream)
    return stream


@contextmanager
def saturate(limiter: ConcurrencyLimiter) -> Iterator[int]:
    """Take all permits of a limiter for the block, including those of its queue, and yield their number."""
    limiter.admitted[EVERYONE] += limiter.places
    yield limiter.places
    limiter.admitted[EVERYONE] -= limiter.places
