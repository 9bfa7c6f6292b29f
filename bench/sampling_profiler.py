"""A sampling profiler of Kennel's application, which `bench.profile_layers` runs as a process.

It samples the stack a thousand times per second and attributes the time to layers.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from io import BytesIO
from itertools import cycle
from types import CodeType, FrameType
from typing import Any

import orjson
import peewee

from models import database
from models.db import sqlite
from tests.live_server import ROOT

from .processes import SERVER_CORES, BenchmarkError
from .wrk import build_request

INTERVAL_SECONDS = 0.001
# Slices with and without the profiler alternate.
SLICE_SECONDS, SLICES = 0.25, 5
LOGGING, DRIVER, MODELS, JSON, SCHEMAS, HOOKS, RESOURCES, RESTFUL, FLASK, OTHER = LAYERS = (
    "logging",
    "driver and database",
    "models and Peewee",
    "JSON",
    "schemas and marshmallow",
    "request hooks, sessions and login",
    "resources, pagination and envelope",
    "Flask-RESTful",
    "Flask and Werkzeug",
    "other",
)
# A sample belongs to the first of these layers that has code anywhere in the stack, by file path.
ANYWHERE = {
    LOGGING: ("api/observability/logs.py", "/logging/__init__.py"),
    DRIVER: ("bench/sampling_profiler.py:driver_call", "/psycopg/"),
    MODELS: ("models/", "/peewee.py", "/playhouse/"),
    JSON: ("bench/sampling_profiler.py:json_call",),
    SCHEMAS: ("schemas/", "/marshmallow/"),
    HOOKS: ("api/security/origins.py", "api/security/authentication.py", "/flask_login/"),
}
# Else it belongs to the layer of the innermost code that has one here.
INNERMOST = {RESOURCES: ("api/",), RESTFUL: ("/flask_restful/",), FLASK: ("/flask/", "/werkzeug/", "/itsdangerous/")}
# Code of api/ that Flask calls before and after the view is a request hook.
HOOK_CALLERS = {"preprocess_request", "process_response", "do_teardown_request"}


@dataclass(frozen=True)
class Profile:
    """The cost of one request of a call, without the server, in microseconds."""

    engine: str
    call: str
    wall: float
    cpu: float
    # The wall time when commits are not synced to disk.
    unsynced: float
    # The wall time by layer.
    layers: dict[str, float]


def sample_stacks(seconds: float, operation: Callable[[], object]) -> Mapping[tuple[CodeType, ...], float]:
    """Repeat an operation for this long. Return the seconds spent in each stack, innermost code first."""
    stacks: defaultdict[tuple[CodeType, ...], float] = defaultdict(float)
    last = time.perf_counter()

    def sample(_: int, frame: FrameType | None) -> None:
        nonlocal last
        codes = []
        while frame:
            codes.append(frame.f_code)
            frame = frame.f_back
        # Python delays signal handlers until a C function returns, so its time is attributed to its caller.
        now = time.perf_counter()
        stacks[tuple(codes)] += now - last
        last = now

    signal.signal(signal.SIGALRM, sample)
    signal.setitimer(signal.ITIMER_REAL, INTERVAL_SECONDS, INTERVAL_SECONDS)
    try:
        repeat(seconds, operation)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return stacks


def repeat(seconds: float, operation: Callable[[], object]) -> tuple[float, float]:
    """Repeat an operation for this long. Return its mean wall time and CPU time in microseconds."""
    started, cpu, count = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() < started + seconds:
        operation()
        count += 1
    return (time.perf_counter() - started) * 1e6 / count, (time.process_time() - cpu) * 1e6 / count


def find_path(code: CodeType) -> str:
    """Return the file of code, relative to the project if it is part of it; in this file, with the function's name."""
    path = code.co_filename
    path = path.removeprefix(f"{ROOT}/") if ".venv" not in path else path
    return f"{path}:{code.co_name}" if path == "bench/sampling_profiler.py" else path


def find_layer(stack: Sequence[CodeType]) -> str:
    """Return the layer that a sample belongs to."""
    paths = [find_path(code) for code in stack]

    def matches(path: str, parts: Sequence[str]) -> bool:
        return any(part in path if part.startswith("/") else path.startswith(part) for part in parts)

    for layer, parts in ANYWHERE.items():
        if any(matches(path, parts) for path in paths):
            return layer
    is_hook = any(code.co_name in HOOK_CALLERS for code in stack)
    for path in paths:
        for layer, parts in INNERMOST.items():
            if matches(path, parts):
                return HOOKS if layer == RESOURCES and is_hook else layer
    return OTHER


def wrap_driver(method: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a C method of a database driver in a Python function, so that it has a frame in the stack."""

    def driver_call(*args: Any) -> Any:
        return method(*args)

    return driver_call


def wrap_json(method: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a C function that reads or writes JSON in a Python function, so that it has a frame in the stack."""

    def json_call(*args: Any, **kwargs: Any) -> Any:
        return method(*args, **kwargs)

    return json_call


def instrument() -> None:
    """Wrap the C functions of SQLite and JSON. Those of PostgreSQL are called by Python code of psycopg."""
    for name in ("execute", "fetchone", "fetchall"):
        setattr(sqlite.Cursor, name, wrap_driver(getattr(sqlite.Cursor, name)))
    for name in ("dumps", "loads"):
        setattr(orjson, name, wrap_json(getattr(orjson, name)))


class Application:
    """Kennel's application, called as by a WSGI server."""

    def __init__(self) -> None:
        self.app = import_module("run").app

    def send(self, request: Mapping[str, Any]) -> dict[str, str]:
        """Send a request, read the response and return its headers. Raise `BenchmarkError` unless it succeeds."""
        path, _, query = request["path"].partition("?")
        body = request.get("body", "").encode()
        environ: dict[str, Any] = {
            "REQUEST_METHOD": request["method"],
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "8000",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_HOST": "127.0.0.1:8000",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for name, value in request["headers"].items():
            name = name.upper().replace("-", "_")
            environ[name if name == "CONTENT_TYPE" else f"HTTP_{name}"] = value
        if body:
            environ["CONTENT_LENGTH"] = str(len(body))
        start: list[Any] = []
        chunks = self.app(environ, lambda *args: start.extend(args))
        for _ in chunks:
            pass
        if hasattr(chunks, "close"):
            chunks.close()
        status, headers, *_ = start
        if not status.startswith("20"):
            raise BenchmarkError(f"the application responds to {request['path']} with {status}")
        return dict(headers)

    def log_in(self, credentials: Mapping[str, str]) -> dict[str, str]:
        """Return the headers that authenticate this user."""
        headers = self.send(build_request("POST", "/user/login", {}, credentials))
        return {"Cookie": headers["Set-Cookie"].partition(";")[0]}


def set_sync(is_on: bool) -> None:
    """Set whether a commit waits for the disk."""
    if isinstance(database.obj, peewee.SqliteDatabase):
        database.execute_sql(f"PRAGMA synchronous={'FULL' if is_on else 'OFF'}")
    else:
        database.execute_sql(f"SET synchronous_commit={'on' if is_on else 'off'}")


def profile_call(engine: str, call: str, application: Application, requests: Sequence[Mapping[str, Any]]) -> Profile:
    """Profile a call, whose requests are sent in turn."""
    turns = cycle(requests)

    def operation() -> None:
        application.send(next(turns))

    repeat(SLICE_SECONDS, operation)  # warm-up
    times, unsynced, layers = [], [], dict.fromkeys(LAYERS, 0.0)
    for _ in range(SLICES):
        times.append(repeat(SLICE_SECONDS, operation))
        for stack, seconds in sample_stacks(SLICE_SECONDS, operation).items():
            layers[find_layer(stack)] += seconds
        if requests[0]["method"] != "GET":
            set_sync(False)
            unsynced.append(repeat(SLICE_SECONDS, operation)[0])
            set_sync(True)
    wall, cpu = (statistics.median(column) for column in zip(*times, strict=True))
    total = sum(layers.values())
    layers = {layer: wall * seconds / total for layer, seconds in layers.items()}
    return Profile(engine, call, wall, cpu, statistics.median(unsynced) if unsynced else wall, layers)


def main() -> None:
    """Read calls as JSON from standard input and print their profiles as JSON. The settings are in the environment.

    If there are credentials, their user sends the requests that need a login.
    """
    os.sched_setaffinity(0, SERVER_CORES)
    job = json.load(sys.stdin)
    application = Application()
    cookie = application.log_in(job["credentials"]) if job["credentials"] else {}
    instrument()
    profiles = []
    for call, requests in job["calls"].items():
        for request in requests:
            if request.get("needs_login"):
                request["headers"] |= cookie
        profiles.append(asdict(profile_call(job["engine"], call, application, requests)))
    print(json.dumps(profiles))


if __name__ == "__main__":
    main()
