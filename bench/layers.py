"""Where the time of Kennel's requests goes, layer by layer: `python -m bench.layers`.

The application of `run.py` is called in a process of its own, without a server, one request after the other. A thousand
times a second it is looked which code runs. What the server, its threads and the sockets take is what an answer of the
real server takes of its core more than one of the application alone.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from io import BytesIO
from itertools import cycle
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import orjson
import peewee

from models import database, sqlite
from tests.server import ROOT

from .contenders import CALLS, KENNEL, KEY, OURS, PASSWORD, Call, sample
from .findings import table
from .load import request
from .processes import SERVER_CORES, Failed, run_part
from .rates import ENGINES, Rates, databases, settle

MEASURED = [CALLS[name] for name in ("list", "one", "profile", "change", "create")]
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
    LOG: ("api/logs.py", "/logging/__init__.py"),
    DRIVER: ("bench/layers.py:driver_call", "/psycopg/"),
    MODELS: ("models/", "/peewee.py", "/playhouse/"),
    JSON: ("bench/layers.py:coder_call",),
    SCHEMAS: ("schemas/", "/marshmallow/"),
    HOOKS: ("api/security.py", "api/auth.py", "/flask_login/"),
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


# --- In the process that is looked at ---


def look(seconds: float, deed: Callable[[], object]) -> Counter[tuple[CodeType, ...]]:
    """Do this again and again for so long, and count the stacks that are found, innermost code first."""
    stacks: Counter[tuple[CodeType, ...]] = Counter()

    def note(_: int, frame: FrameType | None) -> None:
        codes = []
        while frame:
            codes.append(frame.f_code)
            frame = frame.f_back
        stacks[tuple(codes)] += 1

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
    return f"{place}:{code.co_name}" if place == "bench/layers.py" else place


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

    def log_in(self) -> dict[str, str]:
        """The headers by which the first user is logged in."""
        login = {"username": sample()["users"][0]["username"], "password": PASSWORD}
        answered = self.send(request("POST", "/user/login", {}, login))
        return {"Cookie": answered["Set-Cookie"].partition(";")[0]}


def sync(is_on: bool) -> None:
    """Whether a commit waits until it is on the disk."""
    if isinstance(database.obj, peewee.SqliteDatabase):
        database.execute_sql(f"PRAGMA synchronous={'FULL' if is_on else 'OFF'}")
    else:
        database.execute_sql(f"SET synchronous_commit={'on' if is_on else 'off'}")


def profile(engine: str, call: Call, application: Application, headers: dict[str, str]) -> Profile:
    """Where the time of this call goes."""
    sent = cycle(
        request(call.method, path, headers if call.logged_in else {}, body)
        for body in call.bodies
        for path in call.paths
    )

    def deed() -> None:
        application.send(next(sent))

    repeat(SLICE, deed)  # to warm up
    times, unsynced, stacks = [], [], Counter[tuple[CodeType, ...]]()
    for _ in range(SLICES):
        times.append(repeat(SLICE, deed))
        stacks += look(SLICE, deed)
        if call.method != "GET":
            sync(False)
            unsynced.append(repeat(SLICE, deed)[0])
            sync(True)
    wall, cpu = (statistics.median(column) for column in zip(*times, strict=True))
    found: Counter[str] = Counter()
    for stack, number in stacks.items():
        found[layer_of(stack)] += number
    layers = {layer: wall * found[layer] / found.total() for layer in LAYERS}
    return Profile(engine, call.name, wall, cpu, statistics.median(unsynced) if unsynced else wall, layers)


def work(engine: str) -> None:
    """Print what was found, as JSON, of the application that the environment describes."""
    os.sched_setaffinity(0, SERVER_CORES)
    application = Application()
    headers = application.log_in()
    make_visible()
    print(json.dumps([asdict(profile(engine, call, application, headers)) for call in MEASURED]))


# --- In the bench ---


def measure(say: Callable[[object], None], engines: Sequence[str]) -> list[Profile]:
    """The profiles of all calls on these engines."""
    found = []
    for engine in engines:
        with tempfile.TemporaryDirectory() as name, databases(engine, Path(name)) as new_database:
            folder, url = Path(name), new_database()
            (folder / "rows.json").write_text(json.dumps(sample()))
            KENNEL.fill(url, folder / "rows.json")
            settle(KENNEL.name, url)
            with open(folder / "log", "w") as log:
                done = subprocess.run(
                    [OURS, "-m", "bench.layers", "--work", engine],
                    check=False,
                    cwd=ROOT,
                    env={**os.environ, "DATABASE_URL": url, "SECRET_KEY": KEY, **KENNEL.settings},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                )
            if done.returncode:
                said = (folder / "log").read_text().strip().splitlines()
                raise Failed(f"the application can't be looked at: {said[-1] if said else 'it says nothing'}")
            found += [Profile(**each) for each in json.loads(done.stdout)]
        say(table_of([each for each in found if each.engine == engine]))
    return found


def table_of(profiles: Sequence[Profile], rates: Sequence[Rates] = ()) -> str:
    """A table in Markdown of the profiles of one engine, beside what the real server takes, where that is known."""
    columns = [column_of(each, next((one for one in rates if is_of(one, each)), None)) for each in profiles]
    rows = [[name, *[column[name] for column in columns]] for name in columns[0]]
    return table(["microseconds", *[CALLS[each.call].title for each in profiles]], rows)


def is_of(rates: Rates, profile: Profile) -> bool:
    """Whether these are Kennel's rates of this call."""
    return (rates.engine, rates.call, rates.contender) == (profile.engine, profile.call, KENNEL.name)


def column_of(profile: Profile, rates: Rates | None) -> dict[str, str]:
    """What a request takes by the clock, and its parts; and of the core, alone and in the server."""
    layers = sorted(profile.layers.items(), key=lambda item: LAYERS.index(item[0]))
    synced = profile.wall - profile.unsynced
    column = {"**the application alone, by the clock**": f"**{profile.wall:.0f}**"}
    column |= {layer: f"{taken:.0f} ({taken / profile.wall:.0%})" for layer, taken in layers}
    column["in the database: until it is on the disk"] = f"{max(synced, 0):.0f} ({max(synced, 0) / profile.wall:.0%})"
    column["the application alone, of its core"] = f"{profile.cpu:.0f}"
    if rates:
        column["**the real server, of its core**"] = f"**{rates.cpu:.0f}**"
        column["so server, threads, sockets and 16 clients"] = f"{rates.cpu - profile.cpu:.0f}"
        column["the real server: of each second, its core works"] = f"{rates.busy:.0%}"
    return column


def main() -> None:
    """Print what was found."""
    parser = argparse.ArgumentParser(prog="python -m bench.layers", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--engine", choices=ENGINES, action="append", help="this one alone")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.work)
    else:
        measure(lambda said: print(said, flush=True), [ENGINES[engine] for engine in options.engine or ENGINES])


if __name__ == "__main__":
    run_part(main)
