"""Looks which code of Kennel's application runs, a thousand times a second. `bench.profile_layers` starts it."""

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

from .processes import SERVER_CORES, Failed
from .wrk import request

# Seconds between two looks, and of a slice of either kind; the kinds take turns.
EVERY, SLICE, SLICES = 0.001, 0.25, 5
LOG, DRIVER, MODELS, JSON, SCHEMAS, HOOKS, VERBS, RESTFUL, FLASK, OTHERS = LAYERS = (
    "log",
    "driver and database",
    "models and Peewee",
    "JSON",
    "schemas and marshmallow",
    "hooks, session and login",
    "verbs, paging and envelope",
    "Flask-RESTful",
    "Flask and Werkzeug",
    "all else",
)
# The layer of a look is the first of these that has code anywhere in the stack, by the paths of its files.
ANYWHERE = {
    LOG: ("api/observability/logs.py", "/logging/__init__.py"),
    DRIVER: ("bench/sampling_profiler.py:driver_call", "/psycopg/"),
    MODELS: ("models/", "/peewee.py", "/playhouse/"),
    JSON: ("bench/sampling_profiler.py:coder_call",),
    SCHEMAS: ("schemas/", "/marshmallow/"),
    HOOKS: ("api/security/origins.py", "api/security/authentication.py", "/flask_login/"),
}
# Else it is that of the innermost code which has one here.
INNERMOST = {VERBS: ("api/",), RESTFUL: ("/flask_restful/",), FLASK: ("/flask/", "/werkzeug/", "/itsdangerous/")}
# Code of api/ that Flask calls before and after a verb is that of hooks.
AROUND = {"preprocess_request", "process_response", "do_teardown_request"}


@dataclass(frozen=True)
class Profile:
    """What a request of one call takes, in microseconds, of the application alone."""

    engine: str
    call: str
    # Of the clock and of the core; and of the clock where nothing waits until it is on the disk.
    wall: float
    cpu: float
    unsynced: float
    # The parts of the wall's time.
    layers: dict[str, float]


def look(seconds: float, deed: Callable[[], object]) -> Mapping[tuple[CodeType, ...], float]:
    """Do this again and again for so long. Returns the seconds of each stack, innermost code first."""
    stacks: defaultdict[tuple[CodeType, ...], float] = defaultdict(float)
    last = time.perf_counter()

    def note(_: int, frame: FrameType | None) -> None:
        nonlocal last
        codes = []
        while frame:
            codes.append(frame.f_code)
            frame = frame.f_back
        # Python does not look while a function in C runs, so what came up meanwhile is that one's.
        now = time.perf_counter()
        stacks[tuple(codes)] += now - last
        last = now

    signal.signal(signal.SIGALRM, note)
    signal.setitimer(signal.ITIMER_REAL, EVERY, EVERY)
    try:
        repeat(seconds, deed)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return stacks


def repeat(seconds: float, deed: Callable[[], object]) -> tuple[float, float]:
    """Do this again and again for so long. Returns the microseconds of each time, by the clock and of the core."""
    begun, used, times = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() < begun + seconds:
        deed()
        times += 1
    return (time.perf_counter() - begun) * 1e6 / times, (time.process_time() - used) * 1e6 / times


def place_of(code: CodeType) -> str:
    """Where code lies: in the project from its top, in a package from a slash on. Here, its name tells more."""
    path = code.co_filename
    place = path.removeprefix(f"{ROOT}/") if path.startswith(f"{ROOT}/") and ".venv" not in path else path
    return f"{place}:{code.co_name}" if place == "bench/sampling_profiler.py" else place


def layer_of(stack: Sequence[CodeType]) -> str:
    """The layer that was at work."""
    places = [place_of(code) for code in stack]

    def has(place: str, parts: Sequence[str]) -> bool:
        return any(part in place if part.startswith("/") else place.startswith(part) for part in parts)

    for layer, parts in ANYWHERE.items():
        if any(has(place, parts) for place in places):
            return layer
    is_around = any(code.co_name in AROUND for code in stack)
    for place in places:
        for layer, parts in INNERMOST.items():
            if has(place, parts):
                return HOOKS if layer == VERBS and is_around else layer
    return OTHERS


def driver(method: Callable[..., Any]) -> Callable[..., Any]:
    """This method of a database's driver, which is no Python code, with a frame of its own to be seen in a stack."""

    def driver_call(*args: Any) -> Any:
        return method(*args)

    return driver_call


def coder(method: Callable[..., Any]) -> Callable[..., Any]:
    """The same for what reads and writes JSON."""

    def coder_call(*args: Any, **kwargs: Any) -> Any:
        return method(*args, **kwargs)

    return coder_call


def make_visible() -> None:
    """Give frames to the drivers of SQLite and of JSON. That of PostgreSQL has some."""
    for name in ("execute", "fetchone", "fetchall"):
        setattr(sqlite.Cursor, name, driver(getattr(sqlite.Cursor, name)))
    for name in ("dumps", "loads"):
        setattr(orjson, name, coder(getattr(orjson, name)))


class Application:
    """Kennel's application, as a WSGI server calls it."""

    def __init__(self) -> None:
        self.app = import_module("run").app

    def send(self, sent: Mapping[str, Any], status: str = "20") -> dict[str, str]:
        """Send a request and read all of its answer. Returns its headers. Raises `Failed` for another status."""
        path, _, query = sent["path"].partition("?")
        body = sent.get("body", "").encode()
        environ: dict[str, Any] = {
            "REQUEST_METHOD": sent["method"],
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
        for name, value in sent["headers"].items():
            name = name.upper().replace("-", "_")
            environ[name if name == "CONTENT_TYPE" else f"HTTP_{name}"] = value
        if body:
            environ["CONTENT_LENGTH"] = str(len(body))
        answered: list[Any] = []
        parts = self.app(environ, lambda *given: answered.extend(given))
        for _ in parts:
            pass
        if hasattr(parts, "close"):
            parts.close()
        if not answered[0].startswith(status):
            raise Failed(f"the application answers {sent['path']} with {answered[0]}")
        return dict(answered[1])

    def log_in(self, login: Mapping[str, str]) -> dict[str, str]:
        """The headers by which this user is logged in."""
        answered = self.send(request("POST", "/user/login", {}, login))
        return {"Cookie": answered["Set-Cookie"].partition(";")[0]}


def sync(is_on: bool) -> None:
    """Whether a commit waits until it is on the disk."""
    if isinstance(database.obj, peewee.SqliteDatabase):
        database.execute_sql(f"PRAGMA synchronous={'FULL' if is_on else 'OFF'}")
    else:
        database.execute_sql(f"SET synchronous_commit={'on' if is_on else 'off'}")


def profile(engine: str, call: str, application: Application, requests: Sequence[Mapping[str, Any]]) -> Profile:
    """Where the time of these requests goes, which take turns."""
    turns = cycle(requests)

    def deed() -> None:
        application.send(next(turns))

    repeat(SLICE, deed)  # to warm up
    times, unsynced, found = [], [], dict.fromkeys(LAYERS, 0.0)
    for _ in range(SLICES):
        times.append(repeat(SLICE, deed))
        for stack, seconds in look(SLICE, deed).items():
            found[layer_of(stack)] += seconds
        if requests[0]["method"] != "GET":
            sync(False)
            unsynced.append(repeat(SLICE, deed)[0])
            sync(True)
    wall, cpu = (statistics.median(column) for column in zip(*times, strict=True))
    layers = {layer: wall * seconds / sum(found.values()) for layer, seconds in found.items()}
    return Profile(engine, call, wall, cpu, statistics.median(unsynced) if unsynced else wall, layers)


def work() -> None:
    """Read from standard input what to call, and print what was found, both as JSON. The environment has the settings.

    Where a login is given, its user sends the requests that say so.
    """
    os.sched_setaffinity(0, SERVER_CORES)
    wanted = json.load(sys.stdin)
    application = Application()
    cookie = application.log_in(wanted["login"]) if wanted["login"] else {}
    make_visible()
    found = []
    for call, requests in wanted["calls"].items():
        sent = [
            {**each, "headers": {**each["headers"], **(cookie if each.get("logged_in") else {})}} for each in requests
        ]
        found.append(asdict(profile(wanted["engine"], call, application, sent)))
    print(json.dumps(found))


if __name__ == "__main__":
    work()
