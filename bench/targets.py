"""The servers under test, how each is started and filled, and the API calls that all of them answer.

`verify_target` checks their responses, so that only correct ones are timed.
"""

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

from .processes import SERVER_CORES, BenchmarkError, ServerProcess

SQLITE, POSTGRESQL = "SQLite", "PostgreSQL"
BASELINES = ROOT / "bench" / "baselines"
# Kennel and the baselines have separate virtual environments.
KENNEL_PYTHON, BASELINES_PYTHON = sys.executable, str(ROOT / "bench" / ".venv" / "bin" / "python")
SECRET_KEY = "a key for the benchmarks, which is not secret"
DOGS, USERS = 1000, 4
PASSWORD = "correct horse"
DOG_FIELDS = ("id", "name", "owner", "breed", "created_at", "user_id")
USER_FIELDS = ("id", "username", "email", "image")
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
class Target:
    """A server under test, with the commands that start it and seed its database, which run in `folder`."""

    name: str
    folder: Path
    command: Sequence[str]
    seed_command: Sequence[str]
    settings: dict[str, str] = field(default_factory=dict)
    engines: Sequence[str] = (SQLITE, POSTGRESQL)
    calls: Sequence[str] = ("list", "one", "profile", "change", "create")
    health_path: str = "/api/v1/dogs?limit=20"
    # For a target without rows, which only shows an upper bound: every call requests this path instead.
    only_path: str | None = None

    def server(
        self, log_folder: Path, database_url: str, cores: Sequence[int] = SERVER_CORES, **settings: str
    ) -> ServerProcess:
        """Return its server, to be entered as a context manager. The database must be seeded."""
        settings = {"DATABASE_URL": database_url, "SECRET_KEY": SECRET_KEY, **self.settings, **settings}
        return ServerProcess(self.command, self.folder, log_folder, settings, self.health_path, cores)

    def seed(self, database_url: str, rows: Path) -> None:
        """Create the tables in an empty database and insert the rows of a JSON file. Raise `BenchmarkError`."""
        completed = subprocess.run(
            [*self.seed_command, str(rows)],
            check=False,
            cwd=self.folder,
            env={**os.environ, "DATABASE_URL": database_url, "SECRET_KEY": SECRET_KEY, **self.settings},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if completed.returncode:
            raise BenchmarkError(f"{self.name} failed to seed its database: {find_error(completed.stderr)}")


def find_error(output: str) -> str:
    """Return the line of a traceback that names the error. It is the last one, except for Node.js."""
    lines = output.strip().splitlines() or ["no output"]
    return next((line for line in lines if line.partition(":")[0].endswith("Error") and line[0] != " "), lines[-1])


KENNEL = Target(
    "Kennel",
    ROOT,
    [KENNEL_PYTHON, "run.py"],
    [KENNEL_PYTHON, "-m", "bench.seed"],
    # All else is the default: rate limits are on, and every request is logged.
    {"WEB_CONCURRENCY": "1"},
    calls=("list", "one", "304", "profile", "change", "create"),
    health_path="/health/live",
)
TARGETS = [
    KENNEL,
    Target(
        "FastAPI",
        BASELINES / "fastapi_template",
        # The command of the template's container, with one worker instead of four.
        [BASELINES_PYTHON, "-m", "fastapi", "run", "--workers", "1", "--host", "127.0.0.1", "main.py"],
        [BASELINES_PYTHON, "seed.py"],
    ),
    Target("Django", BASELINES / "django_rest", [BASELINES_PYTHON, "-m", "gunicorn"], [BASELINES_PYTHON, "seed.py"]),
    Target("lesson", BASELINES / "lesson", [BASELINES_PYTHON, "-m", "gunicorn"], [BASELINES_PYTHON, "seed.py"]),
    Target(
        "Express",
        BASELINES / "express",
        ["node", "server.js"],
        ["node", "seed.js"],
        {"NODE_ENV": "production"},
    ),
    Target(
        "empty Flask",
        BASELINES / "empty_flask",
        [KENNEL_PYTHON, "app.py"],
        [],
        calls=("one",),
        health_path="/",
        only_path="/",
    ),
]


@dataclass(frozen=True)
class Call:
    """An API call to measure. The combinations of its bodies and paths are requested in turn."""

    name: str
    title: str
    method: str
    paths: Sequence[str]
    bodies: Sequence[dict[str, str] | None] = (None,)
    needs_login: bool = False
    # Send `If-None-Match` with the current ETag.
    is_conditional: bool = False


def sample_rows() -> dict[str, Any]:
    """Return the rows that all databases are seeded with, the same in each run."""
    rng = random.Random(1)
    users = [
        {"username": f"Anna {n}", "email": f"anna{n}@example.com", "password": PASSWORD, "image": f"{n:032x}.webp"}
        for n in range(1, USERS + 1)
    ]
    # In milliseconds, the precision of JavaScript's dates.
    start = datetime(2026, 1, 1, tzinfo=UTC)
    dogs = [
        {
            "name": f"{rng.choice(NAMES)} {number}",
            "owner": users[number % USERS]["username"],
            "breed": rng.choice(BREEDS),
            "created_at": f"{start + timedelta(seconds=61 * number):%Y-%m-%dT%H:%M:%S}.001Z",
            "user": number % USERS + 1,
        }
        for number in range(1, DOGS + 1)
    ]
    return {"users": users, "dogs": dogs}


# The dogs of the first user: every fourth. Their names alternate between two values, so that each PUT changes the row.
OWN_DOG_IDS = range(4, DOGS + 1, USERS)
CALLS = {
    call.name: call
    for call in (
        Call("list", "list of 20 dogs", "GET", ["/api/v1/dogs?limit=20"]),
        Call("one", "one dog", "GET", [f"/api/v1/dogs/{number}" for number in range(1, 101)]),
        Call("304", "one dog, not modified (304)", "GET", ["/api/v1/dogs/1"], is_conditional=True),
        Call("profile", "profile", "GET", ["/user/profile"], needs_login=True),
        Call(
            "change",
            "change a dog",
            "PUT",
            [f"/api/v1/dogs/{number}" for number in OWN_DOG_IDS],
            [{"name": name, "breed": "Poodle", "owner": "Anna"} for name in ("Rex", "Max")],
            needs_login=True,
        ),
        Call(
            "create",
            "create a dog",
            "POST",
            ["/api/v1/dogs"],
            [{"name": "Rex", "breed": "Poodle", "owner": "Anna"}],
            needs_login=True,
        ),
    )
}


def unwrap(body: Any) -> Any:
    """Return the data of a response body without its framework's envelope."""
    for key in ("data", "results"):
        if isinstance(body, dict) and key in body:
            return body[key]
    return body


def pick_fields(row: Any, names: Sequence[str]) -> dict[str, Any]:
    """Return these fields of a row as far as it has them, with the timestamp parsed, since its formats differ."""
    fields = {name: row[name] for name in names if name in row} if isinstance(row, dict) else {}
    if "created_at" in fields:
        fields["created_at"] = datetime.fromisoformat(fields["created_at"])
    return fields


def log_in(name: str, url: str, user: dict[str, str]) -> dict[str, str]:
    """Return the headers that authenticate this user. Raise `BenchmarkError`."""
    credentials = {"username": user["username"], "password": user["password"]}
    response = requests.post(f"{url}/user/login", json=credentials, timeout=30)
    if not response.ok:
        raise BenchmarkError(f"{name} responds to a login with {response.status_code}")
    if response.cookies:
        cookies = dict(response.cookies)
        # Django requires its CSRF token in a header too.
        csrf = {"X-CSRFToken": cookies["csrftoken"]} if "csrftoken" in cookies else {}
        return {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items()), **csrf}
    token = unwrap(response.json()).get("access_token") or response.json().get("access_token")
    return {"Authorization": f"Bearer {token}"}


def verify_target(name: str, url: str, rows: dict[str, Any]) -> dict[str, str]:
    """Verify that a target answers all calls, and with the seeded rows. Raise `BenchmarkError` if it does not.

    Return the headers that authenticate the first user. As a side effect, this user's first dog is changed, and one is
    added.
    """
    dogs = [{"id": number, **row, "user_id": row["user"]} for number, row in enumerate(rows["dogs"], 1)]
    users = [{"id": number, **row} for number, row in enumerate(rows["users"], 1)]
    headers = log_in(name, url, users[0])
    other_user = log_in(name, url, users[1])

    def request(method: str, path: str, statuses: Sequence[int], json: Any = None, headers: Any = None) -> Any:
        response = requests.request(method, url + path, json=json, headers=headers, timeout=30, allow_redirects=False)
        if response.status_code not in statuses:
            raise BenchmarkError(f"{name} responds to {method} {path} with {response.status_code}, not {statuses[0]}")
        return unwrap(response.json()) if response.content else None

    def expect(what: str, actual: Any, expected: Any, names: Sequence[str]) -> None:
        actual, expected = (rows if isinstance(rows, list) else [rows] for rows in (actual, expected))
        if [pick_fields(row, names) for row in actual] != [pick_fields(row, names) for row in expected]:
            raise BenchmarkError(
                f"{name} returns other data than it was seeded with: {what}, {json.dumps(actual)[:300]}"
            )

    expect("the list", request("GET", "/api/v1/dogs?limit=20", [200]), dogs[:20], DOG_FIELDS)
    for dog in (dogs[0], dogs[99]):
        expect("one dog", request("GET", f"/api/v1/dogs/{dog['id']}", [200]), dog, DOG_FIELDS)
    request("GET", f"/api/v1/dogs/{DOGS + 1000}", [404])

    request("GET", "/user/profile", [401, 403])
    expect("the profile", request("GET", "/user/profile", [200], headers=headers), users[0], USER_FIELDS)

    fields = {"name": "Rex", "breed": "Poodle", "owner": "Somebody"}
    own_dog = f"/api/v1/dogs/{OWN_DOG_IDS[0]}"
    request("PUT", own_dog, [401, 403], fields)
    request("PUT", own_dog, [403, 404], fields, other_user)
    changed = request("PUT", own_dog, [200], fields, headers)
    expect("the response to a change", changed, {**dogs[OWN_DOG_IDS[0] - 1], **fields}, DOG_FIELDS)
    expect("a changed dog", request("GET", own_dog, [200]), changed, DOG_FIELDS)

    request("POST", "/api/v1/dogs", [401, 403], fields)
    added = request("POST", "/api/v1/dogs", [201], fields, headers)
    names = [name for name in DOG_FIELDS if name != "created_at"]
    expect("the response to an addition", added, {"id": DOGS + 1, **fields, "user_id": 1}, names)
    expect("an added dog", request("GET", f"/api/v1/dogs/{DOGS + 1}", [200]), added, DOG_FIELDS)
    return headers
