"""How long all rows take to another database, to a backup and back: `python -m bench.db_move`. Needs PostgreSQL.

Each is the command itself in a process of its own, from its start to its end, with all that it verifies. The peak is
that of this process, which must not grow with the rows. PostgreSQL and SQLite write down what they commit.
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


def fill(path: Path, dogs: int) -> None:
    """A SQLite database with users, each with a session, and so many dogs of theirs."""
    database = connect(f"sqlite:///{path}")
    migrations.upgrade(database)
    with database.atomic():
        for number in range(USERS):
            picture = Picture(f"{number:032x}.webp", 125, 175, False, True)
            Session.start(User.register(f"Anna {number}", f"anna{number}@example.com", "x" * 60, picture))
    close_connections()
    file = sqlite3.connect(path)
    columns = "name, name_key, owner, owner_key, breed, breed_key, version, created_at, user_id"
    file.executemany(f"INSERT INTO dogs ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows(dogs))
    file.commit()
    file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    file.close()


def rows(dogs: int) -> Iterator[tuple[Any, ...]]:
    """Dogs, whose names come in no order."""
    start = datetime(2026, 1, 1)  # noqa: DTZ001 - as SQLite keeps it
    for number in range(dogs):
        name, breed = f"Rex Ü {number * 7919 % dogs}", f"Poodle {number % 300}"
        moment = (start + timedelta(seconds=number, microseconds=number)).isoformat(" ", "microseconds")
        yield name, name.lower(), "Anna", "anna", breed, breed.lower(), 1, moment, number % USERS + 1


def measured(what: str, dogs: int, *arguments: str, **settings: str) -> None:
    """Run a command and print how long it took, and how much memory its process had at most."""
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "flask", "--app", "run", *arguments],
        cwd=ROOT,
        env={**os.environ, "SECRET_KEY": "a key for the bench, which is no secret", **settings},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr
    said = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    # 3: the pictures that the rows name are not there.
    assert process.returncode in (0, 3), said
    print(f"{what:28}{dogs:>10,}{time.perf_counter() - begun:>9.1f}{usage.ru_maxrss / 1024:>9.0f}", flush=True)


def main() -> None:
    """Print a line for each way and number of dogs."""
    print(f"{'':28}{'dogs':>10}{'seconds':>9}{'peak MB':>9}")
    with (
        Cluster() as cluster,
        Databases(cluster.url("postgres")) as databases,
        tempfile.TemporaryDirectory() as name,
    ):
        for dogs in DOGS:
            folder = Path(name, str(dogs))
            folder.mkdir()
            fill(folder / "dogs.sqlite", dogs)
            back = f"sqlite:///{folder}/back.sqlite"
            sqlite = {"DATABASE_URL": f"sqlite:///{folder}/dogs.sqlite", "UPLOADS_URL": f"{folder}/uploads"}
            postgresql = {"DATABASE_URL": databases.create(), "UPLOADS_URL": f"{folder}/uploads"}
            measured("SQLite to PostgreSQL", dogs, "db", "move", "--to", postgresql["DATABASE_URL"], **sqlite)
            measured("PostgreSQL to SQLite", dogs, "db", "move", "--to", back, **postgresql)
            measured("a backup of PostgreSQL", dogs, "backup", f"{folder}/backup.tar", **postgresql)
            databases.drop(postgresql["DATABASE_URL"])
            postgresql["DATABASE_URL"] = databases.create()
            measured("the same comes back there", dogs, "restore", f"{folder}/backup.tar", **postgresql)
            databases.drop(postgresql["DATABASE_URL"])
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
