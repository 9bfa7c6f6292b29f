"""The environment of a benchmark run: the hardware, and the versions of all software involved."""

from __future__ import annotations

import json
import os
import platform
import re
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from statistics import median

from tests.live_server import ROOT
from tests.postgres import find_postgres

from .processes import CORES, BenchmarkError
from .targets import BASELINES, BASELINES_PYTHON

# The packages that take part in a request.
KENNEL_PACKAGES = (
    "flask",
    "flask-restful",
    "flask-login",
    "granian",
    "peewee",
    "marshmallow",
    "orjson",
    "psycopg",
    "bcrypt",
)
BASELINE_PACKAGES = {
    "FastAPI": ("fastapi", "starlette", "uvicorn", "uvloop", "pydantic", "sqlmodel", "sqlalchemy", "psycopg"),
    "Django": ("django", "djangorestframework", "django-cors-headers", "gunicorn", "psycopg"),
    "lesson": ("flask", "flask-login", "flask-cors", "peewee", "gunicorn", "psycopg"),
}
PRINT_VERSIONS = (
    "import importlib.metadata, json, sys; print(json.dumps({n: importlib.metadata.version(n) for n in sys.argv[1:]}))"
)
PRINT_SQLITE_VERSION = (
    "console.log(new (require('better-sqlite3'))(':memory:').prepare('SELECT sqlite_version()').pluck().get())"
)
SYNCS = 200


def read_output(*command: str, folder: Path = ROOT) -> str:
    """Return the output of a command. Raise `BenchmarkError` if it fails."""
    try:
        return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        raise BenchmarkError(f"failed to get the version of {command[0]}: {error}") from error


def find_version(text: str) -> str:
    """Return the first version number in a text."""
    match = re.search(r"\d+(\.\d+)+", text)
    return match[0] if match else "?"


def format_packages(versions: Mapping[str, str], names: Iterable[str]) -> str:
    """Return these packages with their versions."""
    return ", ".join(f"{name} {versions[name]}" for name in names)


def collect_versions() -> dict[str, str]:
    """Return the versions of the targets, the databases and the load generator."""
    names = sorted({name for packages in BASELINE_PACKAGES.values() for name in packages})
    baselines = json.loads(read_output(BASELINES_PYTHON, "-c", PRINT_VERSIONS, *names))
    express = {
        name: json.loads((BASELINES / "express" / "node_modules" / name / "package.json").read_text())["version"]
        for name in json.loads((BASELINES / "express" / "package.json").read_text())["dependencies"]
    }
    express_sqlite = read_output("node", "-e", PRINT_SQLITE_VERSION, folder=BASELINES / "express")
    kennel = {name: version(name) for name in KENNEL_PACKAGES}
    python = f"Python {platform.python_version()}"
    # wrk prints its version with its usage, and exits with an error.
    wrk = subprocess.run(["wrk", "-v"], check=False, capture_output=True, text=True).stdout
    return {
        "Kennel": f"{python}, {format_packages(kennel, kennel)}",
        **{name: f"{python}, {format_packages(baselines, packages)}" for name, packages in BASELINE_PACKAGES.items()},
        "Express": f"Node.js {find_version(read_output('node', '--version'))}, {format_packages(express, express)}",
        "SQLite": f"{sqlite3.sqlite_version} (Python), {express_sqlite} (better-sqlite3)",
        "PostgreSQL": find_version(read_output(str(find_postgres()[0] / "postgres"), "--version")),
        "wrk": find_version(wrk),
    }


def describe_hardware() -> dict[str, str]:
    """Return the processor, its cores, the memory, the operating system and the latency of the disk."""
    model = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return {
        "Processor": model[1] if model else platform.machine(),
        "Cores": str(len(CORES)),
        "Memory": f"{memory:.0f} GiB",
        "System": f"{platform.system()} {find_version(platform.release())}",
        "Disk": f"{measure_sync_ms():.2f} ms to append and sync 4 KiB (median)",
    }


def measure_sync_ms() -> float:
    """Return the median time to append a page of 4 KiB to a file and sync it to the disk of the databases."""
    times = []
    with tempfile.TemporaryFile() as file:
        for _ in range(SYNCS):
            started = time.perf_counter()
            os.write(file.fileno(), bytes(4096))
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - started) * 1000)
    return median(times)
