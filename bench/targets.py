"""Who is measured, how each is started, and the calls that all of them answer. What they answer is checked here."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests

from tests.live_server import ROOT

from .processes import SERVER_CORES, Failed, Running

SQLITE, POSTGRESQL = "SQLite", "PostgreSQL"
RIVALS = ROOT / "bench" / "baselines"
OURS, THEIRS = sys.executable, str(ROOT / "bench" / ".venv" / "bin" / "python")
KEY = "a key for the bench, which is no secret"
DOGS, USERS = 1000, 4
PASSWORD = "correct horse"
DOG = ("id", "name", "owner", "breed", "created_at", "user_id")
USER = ("id", "username", "email", "image")
BREEDS = (
    "Beagle",
    "Border Collie",
    "Boxer",
    "Dachshund",
    "Greyhound",
    "Labrador Retriever",
    "Poodle",
    "Pug",
    "Whippet",
)
NAMES = ("Bella", "Charlie", "Daisy", "Luna", "Max", "Milo", "Rex", "Rocky", "Zoë", "Ärmel")


@dataclass(frozen=True)
class Contender:
    """A program that answers the calls, by the commands that start it and fill its database, run in `folder`."""

    name: str
    folder: Path
    command: Sequence[str]
    seed: Sequence[str]
    settings: dict[str, str] = field(default_factory=dict)
    engines: Sequence[str] = (SQLITE, POSTGRESQL)
    calls: Sequence[str] = ("list", "one", "profile", "change", "create")
    alive: str = "/api/v1/dogs?limit=20"
    # One that only bounds what is possible answers at this path instead, with nothing, and has no rows.
    instead: str | None = None

    def started(self, home: Path, database: str, cores: Sequence[int] = SERVER_CORES, **settings: str) -> Running:
        """Its server on the server's core or these, with this database, which has been filled, and these settings."""
        settings = {"DATABASE_URL": database, "SECRET_KEY": KEY, **self.settings, **settings}
        return Running(self.command, self.folder, home, settings, self.alive, cores)

    def fill(self, database: str, rows: Path) -> None:
        """Make its tables in this database, which is empty, and put these rows in. Raises `Failed`."""
        done = subprocess.run(
            [*self.seed, str(rows)],
            check=False,
            cwd=self.folder,
            env={**os.environ, "DATABASE_URL": database, "SECRET_KEY": KEY, **self.settings},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise Failed(f"{self.name} does not fill its database: {reason(done.stderr)}")


def reason(said: str) -> str:
    """The line of a program's last words that names its error, which Node.js does not say last."""
    lines = said.strip().splitlines() or ["it says nothing"]
    return next((line for line in lines if line.partition(":")[0].endswith("Error") and line[0] != " "), lines[-1])


KENNEL = Contender(
    "Kennel",
    ROOT,
    [OURS, "run.py"],
    [OURS, "-m", "bench.seed"],
    # All else is as it is by default: the limits are on, and a line is logged for each request.
    {"WEB_CONCURRENCY": "1"},
    calls=("list", "one", "304", "profile", "change", "create"),
    alive="/health/live",
)
CONTENDERS = [
    KENNEL,
    Contender(
        "FastAPI",
        RIVALS / "fastapi_template",
        # As the template's own container starts it, but with one worker of its four.
        [THEIRS, "-m", "fastapi", "run", "--workers", "1", "--host", "127.0.0.1", "main.py"],
        [THEIRS, "seed.py"],
    ),
    Contender("Django", RIVALS / "django_rest", [THEIRS, "-m", "gunicorn"], [THEIRS, "seed.py"]),
    Contender("lesson", RIVALS / "lesson", [THEIRS, "-m", "gunicorn"], [THEIRS, "seed.py"]),
    Contender(
        "Express",
        RIVALS / "express",
        ["node", "server.js"],
        ["node", "seed.js"],
        {"NODE_ENV": "production"},
    ),
    Contender("empty Flask", RIVALS / "empty_flask", [OURS, "app.py"], [], calls=("one",), alive="/", instead="/"),
]


@dataclass(frozen=True)
class Call:
    """A request that is measured, in as many variants as there are bodies or paths, which take turns."""

    name: str
    title: str
    method: str
    paths: Sequence[str]
    bodies: Sequence[dict[str, str] | None] = (None,)
    logged_in: bool = False
    # Sends `If-None-Match` with what the server names its answer by.
    is_known: bool = False


def sample() -> dict[str, Any]:
    """The rows that all contenders begin with, the same in each run."""
    choice = random.Random(1)
    users = [
        {"username": f"Anna {n}", "email": f"anna{n}@example.com", "password": PASSWORD, "image": f"{n:032x}.webp"}
        for n in range(1, USERS + 1)
    ]
    # JavaScript's moments have milliseconds.
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    dogs = [
        {
            "name": f"{choice.choice(NAMES)} {number}",
            "owner": users[number % USERS]["username"],
            "breed": choice.choice(BREEDS),
            "created_at": f"{begin + timedelta(seconds=61 * number):%Y-%m-%dT%H:%M:%S}.001Z",
            "user": number % USERS + 1,
        }
        for number in range(1, DOGS + 1)
    ]
    return {"users": users, "dogs": dogs}


# Anna 1 has every fourth dog. Each of hers is changed to one name and then to another, so that each change is one.
HERS = range(4, DOGS + 1, USERS)
CALLS = {
    call.name: call
    for call in (
        Call("list", "list of 20 dogs", "GET", ["/api/v1/dogs?limit=20"]),
        Call("one", "one dog", "GET", [f"/api/v1/dogs/{number}" for number in range(1, 101)]),
        Call("304", "one dog, not changed: 304", "GET", ["/api/v1/dogs/1"], is_known=True),
        Call("profile", "profile", "GET", ["/user/profile"], logged_in=True),
        Call(
            "change",
            "change a dog",
            "PUT",
            [f"/api/v1/dogs/{number}" for number in HERS],
            [{"name": name, "breed": "Poodle", "owner": "Anna"} for name in ("Rex", "Max")],
            logged_in=True,
        ),
        Call(
            "create",
            "create a dog",
            "POST",
            ["/api/v1/dogs"],
            [{"name": "Rex", "breed": "Poodle", "owner": "Anna"}],
            logged_in=True,
        ),
    )
}


def unwrapped(answer: Any) -> Any:
    """What an answer is about, whatever its framework wraps it in."""
    for wrapping in ("data", "results"):
        if isinstance(answer, dict) and wrapping in answer:
            return answer[wrapping]
    return answer


def picked(row: Any, names: Sequence[str]) -> dict[str, Any]:
    """These fields of a row, as far as it has them. A moment is one in whatever way it is written."""
    found = {name: row[name] for name in names if name in row} if isinstance(row, dict) else {}
    if "created_at" in found:
        found["created_at"] = datetime.fromisoformat(found["created_at"])
    return found


def logged_in(name: str, url: str, user: dict[str, str]) -> dict[str, str]:
    """The headers by which this user is known. Raises `Failed`."""
    login = {"username": user["username"], "password": user["password"]}
    answer = requests.post(f"{url}/user/login", json=login, timeout=30)
    if not answer.ok:
        raise Failed(f"{name} answers a login with {answer.status_code}")
    if answer.cookies:
        cookies = dict(answer.cookies)
        # Django wants its token against forgery in a header too.
        token = {"X-CSRFToken": cookies["csrftoken"]} if "csrftoken" in cookies else {}
        return {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items()), **token}
    token = unwrapped(answer.json()).get("access_token") or answer.json().get("access_token")
    return {"Authorization": f"Bearer {token}"}


def check(name: str, url: str, rows: dict[str, Any]) -> dict[str, str]:
    """Make sure that a contender answers all calls, and with these very rows. Raises `Failed`.

    Returns the headers by which the first user is logged in. Of the rows, the first one of that user is changed, and
    one is added.
    """
    dogs = [{"id": number, **row, "user_id": row["user"]} for number, row in enumerate(rows["dogs"], 1)]
    users = [{"id": number, **row} for number, row in enumerate(rows["users"], 1)]
    headers = logged_in(name, url, users[0])
    stranger = logged_in(name, url, users[1])

    def answer(method: str, path: str, status: Sequence[int], json: Any = None, headers: Any = None) -> Any:
        got = requests.request(method, url + path, json=json, headers=headers, timeout=30, allow_redirects=False)
        if got.status_code not in status:
            raise Failed(f"{name} answers {method} {path} with {got.status_code} and not with {status[0]}")
        return unwrapped(got.json()) if got.content else None

    def same(what: str, got: Any, wanted: Any, names: Sequence[str]) -> None:
        got, wanted = (rows if isinstance(rows, list) else [rows] for rows in (got, wanted))
        if [picked(row, names) for row in got] != [picked(row, names) for row in wanted]:
            raise Failed(
                f"{name} answers other data than its database was filled with: {what}, {json.dumps(got)[:300]}"
            )

    same("the list", answer("GET", "/api/v1/dogs?limit=20", [200]), dogs[:20], DOG)
    for dog in (dogs[0], dogs[99]):
        same("one dog", answer("GET", f"/api/v1/dogs/{dog['id']}", [200]), dog, DOG)
    answer("GET", f"/api/v1/dogs/{DOGS + 1000}", [404])

    answer("GET", "/user/profile", [401, 403])
    same(
        "the profile",
        answer("GET", "/user/profile", [200], headers=headers),
        users[0],
        ("id", "username", "email", "image"),
    )

    fields = {"name": "Rex", "breed": "Poodle", "owner": "Somebody"}
    hers = f"/api/v1/dogs/{HERS[0]}"
    answer("PUT", hers, [401, 403], fields)
    answer("PUT", hers, [403, 404], fields, stranger)
    changed = answer("PUT", hers, [200], fields, headers)
    same("a change", changed, {**dogs[HERS[0] - 1], **fields}, DOG)
    same("what was changed", answer("GET", hers, [200]), changed, DOG)

    answer("POST", "/api/v1/dogs", [401, 403], fields)
    added = answer("POST", "/api/v1/dogs", [201], fields, headers)
    same("a new dog", added, {"id": DOGS + 1, **fields, "user_id": 1}, DOG[:4] + DOG[5:])
    same("what was added", answer("GET", f"/api/v1/dogs/{DOGS + 1}", [200]), added, DOG)
    return headers
