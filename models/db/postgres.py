"""PostgreSQL, and what speaks its protocol: connections that threads share, and statements that are tried again."""

from __future__ import annotations

import os
import random
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext, suppress
from typing import Any

import peewee
from psycopg.pq import TransactionStatus

from .errors import sqlstate

# How long to wait for a connection, and for the answer to a statement, in seconds: as long as SQLite for its lock.
TIMEOUT = 10
# How many threads of a process may hold a connection or wait for one, of the 128 that answer requests. Past them the
# answer is at once that there is none, so that a database that hangs leaves threads for what needs none.
AT_ONCE = 96
ATTEMPTS = 10

CONNECTION_OPTIONS: dict[str, Any] = {
    "client_encoding": "utf8",
    "application_name": "kennel",
    "connect_timeout": 5,
    # A machine that is gone without a word is noticed within about 10 seconds.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    # Rows are locked where it matters, so READ COMMITTED is enough. A process that hangs gives its locks back.
    "options": "-c default_transaction_isolation=read\\ committed "
    f"-c statement_timeout={TIMEOUT}s -c idle_in_transaction_session_timeout=60s",
}

# Serialization failure and deadlock: the database has undone it, and asks to try again. So do CockroachDB and Yugabyte.
RETRYABLE_SQLSTATES = ("40001", "40P01")


class PooledPostgresqlDatabase(peewee.PostgresqlDatabase):
    """A database whose connections are shared: a thread holds one for a statement or a transaction, and no longer.

    So nobody holds one who waits for a slow client, a password's hash or a picture, and few connections serve many
    threads. At most `size` are open in a process. Raises `peewee.OperationalError` where none is to be had in time.

    Peewee's own pool opens connections under a lock that all threads need, also while a server does not answer.
    """

    _state: Any  # what peewee keeps for each thread

    def __init__(self, database: str, size: int = 20, **parameters: Any) -> None:
        """Nothing is opened yet. `parameters` are those of libpq (PostgreSQL's manual, section 34.1.2).

        Its `options` are added to ours, and count where both name the same.
        """
        options = " ".join(part["options"] for part in (CONNECTION_OPTIONS, parameters) if "options" in part)
        super().__init__(database, prefer_psycopg3=True, **{**CONNECTION_OPTIONS, **parameters, "options": options})
        self._lock = nullcontext()  # each thread has its own state, so there is nothing to guard
        self.size = size
        self.start_anew()

    def start_anew(self) -> None:
        """Begin without connections. Those of a parent process are its own."""
        self.process = os.getpid()
        self.idle: deque[Any] = deque()
        self.places = threading.BoundedSemaphore(self.size)
        self.room = threading.BoundedSemaphore(max(self.size, AT_ONCE))

    def _connect(self) -> Any:
        """A connection that is idle and alive, else a new one."""
        if self.process != os.getpid():
            self.start_anew()
        if not self.room.acquire(blocking=False):
            raise peewee.OperationalError("too many threads wait for a connection")
        try:
            if not self.places.acquire(timeout=TIMEOUT):
                raise peewee.OperationalError(f"no connection was free for {TIMEOUT} seconds")
            try:
                return self.idle_connection() or self.new_connection()
            except BaseException:
                self.places.release()
                raise
        except BaseException:
            self.room.release()
            raise

    def idle_connection(self) -> Any:
        """The one that was used last, where one is left and alive."""
        with suppress(IndexError):
            while True:
                connection = self.idle.pop()
                if is_connection_alive(connection):
                    return connection
                connection.close()

    def new_connection(self) -> Any:
        """One more, with the cursor that it keeps."""
        connection = super()._connect()  # type: ignore[misc]
        connection.reader = connection.cursor()
        return connection

    def _close(self, conn: Any) -> None:
        """Give a connection back, to the others if it is as good as new."""
        if conn.pgconn.transaction_status == TransactionStatus.IDLE:
            self.idle.append(conn)
        else:
            conn.close()
        self.places.release()
        self.room.release()

    @property
    def in_use(self) -> int:
        """How many connections threads of this process hold at this moment."""
        return self.size - self.places._value

    def close_idle(self) -> None:
        """Close the connections that nobody holds."""
        with suppress(IndexError):
            while True:
                self.idle.pop().close()

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        """Run a statement. On its own it is tried again where the database asks for it."""
        run = super().execute_sql
        return self.held(lambda: run(sql, params))

    def rows(self, sql: str, params: Any = None) -> list[Any]:
        """Run a statement in the same way, and read all its rows, by a cursor that the connection keeps.

        A new cursor would learn anew, for each statement, how each type is written and read.
        """
        return self.held(lambda: self._execute_cursor(sql, params, is_kept=True).fetchall())  # type: ignore[attr-defined]

    def cursor(self, named_cursor: Any = None, is_kept: bool = False) -> Any:
        """A new cursor on this thread's connection, or the one that is kept for `rows`."""
        return self.connection().reader if is_kept else super().cursor(named_cursor)

    def held(self, deed: Callable[[], Any]) -> Any:
        """Do what runs one statement. Outside a transaction it is tried again, and holds a connection no longer."""
        if self.in_transaction():
            return deed()

        def once() -> Any:
            try:
                return deed()
            finally:
                self.let_go()

        return retry_transaction(once)

    def let_go(self) -> None:
        """Give the connection of this thread back, where no `connection_context` keeps it."""
        if not self._state.ctx:
            self.close()

    def begin(self, isolation_level: Any = None) -> None:
        """Begin a transaction, which holds a connection until it ends."""
        try:
            super().begin(isolation_level)
        except BaseException:
            self.let_go()
            raise

    def commit(self) -> None:
        """End a transaction, and give its connection back. Where this fails, `rollback` follows."""
        super().commit()
        callbacks = self._state.commit_callbacks
        self.let_go()
        self._state.commit_callbacks = callbacks  # peewee calls them next

    def rollback(self) -> None:
        """Undo a transaction, and give its connection back. A lost connection has undone it already."""
        try:
            with suppress(peewee.OperationalError, peewee.InterfaceError):
                super().rollback()
        finally:
            self.let_go()


def is_connection_alive(connection: Any) -> bool:
    """Whether an idle connection still has a server: all that a server says to an idle client is goodbye.

    To look costs a microsecond, where to ask would cost a round trip.
    """
    if connection.closed:
        return False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return not poll.poll(0)


def retry_transaction(deed: Callable[[], Any]) -> Any:
    """Do this, and do it again where the database has undone it to keep others in order, up to `ATTEMPTS` times."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return deed()
        except peewee.OperationalError as error:
            if sqlstate(error) not in RETRYABLE_SQLSTATES or attempt == ATTEMPTS:
                raise
        # Those that got into each other's way do not try again at the same moment.
        time.sleep(random.uniform(0, 0.005 * 2**attempt))  # noqa: S311 - no secret
