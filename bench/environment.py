"""What a run of the bench ran on: the machine, and the versions of all that took part."""

from __future__ import annotations

import json
import os
import platform
import re
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median

from tests.live_server import ROOT

from .postgres import programs
from .processes import CORES, Failed
from .targets import RIVALS, THEIRS

# What of Kennel a request goes through, and what of each rival does.
OURS_USED = ("flask", "flask-restful", "flask-login", "granian", "peewee", "marshmallow", "orjson", "psycopg", "bcrypt")
THEIRS_USED = {
    "FastAPI": ("fastapi", "starlette", "uvicorn", "uvloop", "pydantic", "sqlmodel", "sqlalchemy", "psycopg"),
    "Django": ("django", "djangorestframework", "django-cors-headers", "gunicorn", "psycopg"),
    "lesson": ("flask", "flask-login", "flask-cors", "peewee", "gunicorn", "psycopg"),
}
ASK_VERSIONS = (
    "import importlib.metadata, json, sys; print(json.dumps({n: importlib.metadata.version(n) for n in sys.argv[1:]}))"
)
ASK_SQLITE = "console.log(new (require('better-sqlite3'))(':memory:').prepare('SELECT sqlite_version()').pluck().get())"
SYNCS = 200


def said_by(*command: str, folder: Path = ROOT) -> str:
    """What a command says. Raises `Failed` where it can't be run."""
    try:
        return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        raise Failed(f"{command[0]} can't be asked for versions: {error}") from error


def first_number(text: str) -> str:
    """The first version in a text."""
    found = re.search(r"\d+(\.\d+)+", text)
    return found[0] if found else "?"


def wrk_version() -> str:
    """Of wrk. It ends with an error when it is asked for it."""
    return first_number(subprocess.run(["wrk", "-v"], check=False, capture_output=True, text=True).stdout)


def named(versions: dict[str, str], names: Sequence[str]) -> str:
    """Some packages with their versions."""
    return ", ".join(f"{name} {versions[name]}" for name in names)


def versions() -> dict[str, str]:
    """What took part, and in which versions."""
    names = sorted({name for some in THEIRS_USED.values() for name in some})
    theirs = json.loads(said_by(THEIRS, "-c", ASK_VERSIONS, *names))
    node = json.loads((RIVALS / "express" / "package.json").read_text())["dependencies"]
    express = {
        name: json.loads((RIVALS / "express" / "node_modules" / name / "package.json").read_text())["version"]
        for name in node
    }
    their_sqlite = said_by("node", "-e", ASK_SQLITE, folder=RIVALS / "express")
    ours = {name: version(name) for name in OURS_USED}
    python = f"Python {platform.python_version()}"
    return {
        "Kennel": f"{python}, {named(ours, OURS_USED)}",
        **{rival: f"{python}, {named(theirs, some)}" for rival, some in THEIRS_USED.items()},
        "Express": f"Node.js {first_number(said_by('node', '--version'))}, {named(express, list(express))}",
        "SQLite": f"{sqlite3.sqlite_version} of Python, {their_sqlite} of better-sqlite3",
        "PostgreSQL": first_number(said_by(str(programs() / "postgres"), "--version")),
        "wrk": wrk_version(),
    }


def machine() -> dict[str, str]:
    """The processor, its cores, the memory, the system and the disk."""
    model = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return {
        "Processor": model[1] if model else platform.machine(),
        "Cores": str(len(CORES)),
        "Memory": f"{memory:.0f} GiB",
        "System": f"{platform.system()} {first_number(platform.release())}",
        "Disk": f"{sync_ms():.2f} ms until 4 KiB more of a file are on it (median)",
    }


def sync_ms() -> float:
    """How many milliseconds the disk of the databases takes until it has a page more of a file."""
    times = []
    with tempfile.TemporaryFile() as file:
        for _ in range(SYNCS):
            begun = time.perf_counter()
            os.write(file.fileno(), bytes(4096))
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - begun) * 1000)
    return median(times)
