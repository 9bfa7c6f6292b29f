"""Duration and peak memory of `db move`, `backup` and `restore`: `python -m bench.db_move`. Needs PostgreSQL.

Each command runs as a process, from start to exit, with everything that it verifies. Its peak memory must not grow with
the number of rows. PostgreSQL and SQLite are durable.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from models import Picture, Session, User, close_connections, connect, migrations
from tests.live_server import ROOT
from tests.postgres import Cluster, Databases

DOGS = (10_000, 1_000_000)
USERS = 1000


def create_database(path: Path, dogs: int) -> None:
    """Create a SQLite database with users, each with a session, and with this many dogs."""
    database = connect(f"sqlite:///{path}")
    migrations.upgrade(database)
    with database.atomic():
        for number in range(USERS):
            picture = Picture(f"{number:032x}.webp", 125, 175, False, True)
            Session.start(User.register(f"Anna {number}", f"anna{number}@example.com", "x" * 60, picture))
    close_connections()
    file = sqlite3.connect(path)
    columns = "name, name_key, owner, owner_key, breed, breed_key, version, created_at, user_id"
    file.executemany(f"INSERT INTO dogs ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", dog_rows(dogs))
    file.commit()
    file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    file.close()


def dog_rows(dogs: int) -> Iterator[tuple[Any, ...]]:
    """Yield dogs with their names in no order."""
    start = datetime(2026, 1, 1)  # noqa: DTZ001 - as stored by SQLite
    for number in range(dogs):
        name, breed = f"Rex Ü {number * 7919 % dogs}", f"Poodle {number % 300}"
        created_at = (start + timedelta(seconds=number, microseconds=number)).isoformat(" ", "microseconds")
        yield name, name.lower(), "Anna", "anna", breed, breed.lower(), 1, created_at, number % USERS + 1


def measure(name: str, dogs: int, *arguments: str, **settings: str) -> None:
    """Run a command, and print its duration and the peak memory of its process."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "flask", "--app", "run", *arguments],
        cwd=ROOT,
        env={**os.environ, "SECRET_KEY": "a key for the benchmarks, which is not secret", **settings},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr
    output = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    # Exit code 3: picture files are missing, as they are here.
    assert process.returncode in (0, 3), output
    print(f"{name:28}{dogs:>10,}{time.perf_counter() - started:>9.1f}{usage.ru_maxrss / 1024:>9.0f}", flush=True)


def main() -> None:
    """Measure each command by number of dogs, and print a line for each."""
    print(f"{'':28}{'dogs':>10}{'seconds':>9}{'peak MB':>9}")
    with (
        Cluster() as cluster,
        Databases(cluster.url("postgres")) as databases,
        tempfile.TemporaryDirectory() as name,
    ):
        for dogs in DOGS:
            folder = Path(name, str(dogs))
            folder.mkdir()
            create_database(folder / "dogs.sqlite", dogs)
            back = f"sqlite:///{folder}/back.sqlite"
            sqlite = {"DATABASE_URL": f"sqlite:///{folder}/dogs.sqlite", "UPLOADS_URL": f"{folder}/uploads"}
            postgresql = {"DATABASE_URL": databases.create(), "UPLOADS_URL": f"{folder}/uploads"}
            measure("SQLite to PostgreSQL", dogs, "db", "move", "--to", postgresql["DATABASE_URL"], **sqlite)
            measure("PostgreSQL to SQLite", dogs, "db", "move", "--to", back, **postgresql)
            measure("backup of PostgreSQL", dogs, "backup", f"{folder}/backup.tar", **postgresql)
            databases.drop(postgresql["DATABASE_URL"])
            postgresql["DATABASE_URL"] = databases.create()
            measure("restore to PostgreSQL", dogs, "restore", f"{folder}/backup.tar", **postgresql)
            databases.drop(postgresql["DATABASE_URL"])
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
