"""Makes what the tests are about, through the API's own door."""

from __future__ import annotations

import io
import logging
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from PIL import Image

from api.http.concurrency import ConcurrencyLimiter
from api.pictures.default import render_avatar
from api.pictures.store import picture_store
from api.security.passwords import hash_password
from models import Session, User

PASSWORD = "correct horse"
PHOTOS = Path(__file__).parent / "photos"


def register(app: Flask, username: str, **fields: Any) -> FlaskClient:
    """A client that a new user is logged in by."""
    client = app.test_client()
    body = {"username": username, "email": f"{username.lower()}@example.com", "password": PASSWORD, **fields}
    response = client.post("/user/register", json=body)
    assert response.status_code == 201, response.json
    return client


def create_account(app: Flask, username: str) -> FlaskClient:
    """Return a client that a new user is logged in by, as `register` does, at a fraction of its cost.

    The models store the account, its default picture and its session as a registration does, and the client holds the
    signed cookie of that session. The hash of the password and the picture are made once per process.
    """
    with app.app_context():
        picture = picture_store.get().save(default_picture(username), is_default=True)
        user = Session.register(
            username=username,
            email=f"{username.lower()}@example.com",
            password_hash=hash_of_password(app.config["BCRYPT_LOG_ROUNDS"]),
            picture=picture,
        )
    client = app.test_client()
    with client.session_transaction() as cookie:
        cookie["_user_id"] = user.get_id()  # as Flask-Login does
    return client


@cache
def hash_of_password(rounds: int) -> str:
    """Return a hash of `PASSWORD` by the current application, whose cost this is."""
    return hash_password(PASSWORD)


default_picture = cache(render_avatar)


def add_dog(client: FlaskClient, **fields: Any) -> dict[str, Any]:
    """A new dog of who is logged in."""
    response = client.post("/api/v1/dogs", json={"name": "Rex", "breed": "Poodle", **fields})
    assert response.status_code == 201, response.json
    return response.json["data"]


def photo(name: str = "grace_hopper.jpg") -> tuple[io.BytesIO, str]:
    """A real photograph, as the test client uploads it."""
    return io.BytesIO((PHOTOS / name).read_bytes()), name


def make_image(size: tuple[int, int] = (300, 400), kind: str = "PNG", mode: str = "RGB", **options: Any) -> bytes:
    """A small picture in one of Pillow's formats."""
    buffer = io.BytesIO()
    Image.new(mode, size, 200 if mode == "L" else None).save(buffer, kind, **options)
    return buffer.getvalue()


def multipart_form(*parts: tuple[str, str | None, bytes]) -> dict[str, Any]:
    """A multipart form, written byte for byte as browsers do, as keywords for a test client.

    A part is its name, its file's name (None for a text, "" for a file input that was left empty) and its content.
    """
    body = b""
    for name, filename, content in parts:
        file = "" if filename is None else f'; filename="{filename}"\r\nContent-Type: application/octet-stream'
        body += f'--limit\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + content + b"\r\n"
    return {"data": body + b"--limit--\r\n", "content_type": "multipart/form-data; boundary=limit"}


def run_concurrently(app: Flask, *deeds: Callable[[], Any]) -> list[Any]:
    """What the deeds return, each done in a thread of its own, all let go at the same moment."""
    gate = threading.Barrier(len(deeds))

    def run(deed: Callable[[], Any]) -> Any:
        gate.wait()
        try:
            return deed()
        finally:
            app.extensions["database"].close()  # this thread's own connection

    with ThreadPoolExecutor(len(deeds)) as threads:
        return list(threads.map(run, deeds))


def sqlite_file(url: str) -> Path:
    """The file of a SQLite database."""
    return Path(url.removeprefix("sqlite:///"))


@contextmanager
def trace_sql(app: Flask, see: Callable[[str], Any]) -> Iterator[None]:
    """Hands each SQL statement that this thread sends within the block to `see`, just before it is run."""
    database = app.extensions["database"]
    thread = threading.get_ident()
    server_side_cursor = database.cursor

    def cursor(*args: Any, **kwargs: Any) -> Any:
        return (
            TracedCursor(server_side_cursor(*args, **kwargs), see)
            if threading.get_ident() == thread
            else server_side_cursor(*args, **kwargs)
        )

    database.cursor = cursor
    try:
        yield
    finally:
        del database.cursor


class TracedCursor:
    """A cursor that shows each statement, just before it is run."""

    def __init__(self, cursor: Any, see: Callable[[str], Any]) -> None:
        self.cursor = cursor
        self.see = see

    def execute(self, statement: str, *args: Any) -> Any:
        """Run a statement."""
        self.see(statement)
        return self.cursor.execute(statement, *args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.cursor, name)

    def __iter__(self) -> Any:
        return iter(self.cursor)


@contextmanager
def interleave(app: Flask, *deeds: Callable[[], Any]) -> Iterator[list[Any]]:
    """Does the deeds between look and write: one just before each transaction of the block. Lists what they return."""
    database = app.extensions["database"]
    thread = threading.get_ident()
    begin = database.begin
    waiting = list(deeds)
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
    assert len(done) == len(deeds), "a deed failed, or the block began too few transactions"


def example_path(path: str) -> str:
    """A path of this route, of things that need not exist."""
    path = re.sub(r"<id:\w+>", "1", path)
    return path.replace("<image>", "x.webp").replace("<slug>", "conflict")


def api_error(response: Any) -> tuple[int, str]:
    """Status and kind of a failure, once the whole envelope around it is in order."""
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
    """The header that speaks for this user by the token of a new session."""
    user = User.find_by_login(username)
    assert user
    return {"Authorization": f"Bearer {Session.start(user).key}"}


def capture_log() -> io.StringIO:
    """What the log of the newest application writes from now on."""
    stream = io.StringIO()
    handler = logging.getLogger("kennel").handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(stream)
    return stream


@contextmanager
def saturate(slots: ConcurrencyLimiter) -> Iterator[int]:
    """For the block no heavy work is taken, not even into the queue. Gives how much there was room for."""
    with ExitStack() as stack:
        room = 0
        while slots.admitted.acquire(blocking=False):
            stack.callback(slots.admitted.release)
            room += 1
        yield room
