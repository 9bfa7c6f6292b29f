"""PostgreSQL: a connection pool shared by threads, and retries of serialization failures."""

from __future__ import annotations

import atexit
import os
import random
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from typing import Any
from weakref import WeakSet

import peewee
from psycopg.pq import TransactionStatus

from .errors import sqlstate
from .pool import LifoConnectionPool, PoolEntry, is_connection_alive

# How many seconds to wait for a connection, and for a statement: as long as for SQLite's lock.
TIMEOUT_SECONDS = 10
# Maximum threads per process that may hold or wait for a connection (of 128). Beyond it, fail fast, so that a stalled
# database cannot exhaust the thread pool.
MAX_WAITERS = 96
# Close a connection if it was not needed for this interval. One per interval.
MAX_IDLE_SECONDS = 60
# Replace a connection at this age, so that the memory of its server process does not grow for ever.
MAX_LIFETIME_SECONDS = 3600
MAX_ATTEMPTS = 10

CONNECTION_OPTIONS: dict[str, Any] = {
    "client_encoding": "utf8",
    "application_name": "kennel",
    "connect_timeout": 5,
    # Notice within about 10 seconds that the server's machine is gone.
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    # READ COMMITTED is enough, since rows are locked where it matters. A process that hangs loses its locks.
    "options": "-c default_transaction_isolation=read\\ committed "
    f"-c statement_timeout={TIMEOUT_SECONDS}s -c idle_in_transaction_session_timeout=60s",
}

# Serialization failure and deadlock: the database rolled back, and the transaction may be retried. CockroachDB and
# YugabyteDB use the same codes.
RETRYABLE_SQLSTATES = ("40001", "40P01")


class PooledPostgresqlDatabase(peewee.PostgresqlDatabase):
    """A database whose threads share a pool of connections.

    A thread holds a connection for one statement or transaction only, not while it waits for a slow client, a password
    hash or a picture, so few connections serve many threads. At most `size` are open per process. Idle connections are
    closed after a while. Raises `peewee.OperationalError` if none is available in time.

    Peewee's own pool connects while it holds a lock that all threads need, even if the server does not answer.
    """

    _state: Any  # peewee's state of each thread

    def __init__(self, database: str, size: int = 20, **parameters: Any) -> None:
        """Connect to nothing yet. `parameters` are those of libpq (PostgreSQL manual, section 34.1.2).

        Its `options` are appended to ours, and take precedence.
        """
        options = " ".join(part["options"] for part in (CONNECTION_OPTIONS, parameters) if "options" in part)
        super().__init__(database, prefer_psycopg3=True, **{**CONNECTION_OPTIONS, **parameters, "options": options})
        self._lock = nullcontext()  # each thread has its own state, so there is nothing to guard
        self.size = size
        self.reset_pool()
        databases.add(self)

    def reset_pool(self) -> None:
        """Start without a pool. It opens at first use, because it starts threads."""
        self.pool: LifoConnectionPool | None = None
        self.pool_lock = threading.Lock()

    def open_pool(self) -> LifoConnectionPool:
        """Return the pool of this process, open."""
        with self.pool_lock:
            if self.pool is None:
                self.pool = LifoConnectionPool(
                    connection_class=PoolEntry,
                    min_size=0,
                    max_size=self.size,
                    max_waiting=max(MAX_WAITERS - self.size, 1),
                    max_idle=MAX_IDLE_SECONDS,
                    max_lifetime=MAX_LIFETIME_SECONDS,
                    num_workers=1,
                    name="kennel",
                )
            return self.pool

    def _connect(self) -> Any:
        """Return an idle connection that is alive, or a new one."""
        pool = self.pool or self.open_pool()
        entry = pool.getconn(TIMEOUT_SECONDS)
        entry.pool = pool
        try:
            if entry.connection is None or not is_connection_alive(entry.connection):
                entry.close()
                entry.connection = self.new_connection(entry)
            return entry.connection
        except BaseException:
            pool.putconn(entry)
            raise

    def new_connection(self, entry: PoolEntry) -> Any:
        """Open a connection for an entry of the pool."""
        connection = super()._connect()  # type: ignore[misc]
        connection.pool_entry = entry
        connection.shared_cursor = connection.cursor()
        return connection

    def _close(self, conn: Any) -> None:
        """Return a connection to the pool, without it if it is broken or in a transaction."""
        entry = conn.pool_entry
        if conn.pgconn.transaction_status != TransactionStatus.IDLE:
            entry.close()
        entry.pool.putconn(entry)

    @property
    def in_use(self) -> int:
        """How many connections the threads of this process hold now."""
        pool = self.pool
        if pool is None:
            return 0
        stats = pool.get_stats()
        return stats["pool_size"] - stats["pool_available"]

    def close_idle(self) -> None:
        """Close the idle connections and stop the threads of the pool. Those in use are closed when returned."""
        with self.pool_lock:
            pool, self.pool = self.pool, None
        if pool:
            pool.close()

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        """Execute a statement; retry it outside a transaction."""
        execute = super().execute_sql
        return self.run_with_retry(lambda: execute(sql, params))

    def rows(self, sql: str, params: Any = None) -> list[Any]:
        """Execute a statement like `execute_sql`, and fetch all its rows with the cursor of the connection.

        A new cursor would look up again how to dump and load each type, for each statement.
        """
        return self.run_with_retry(
            lambda: self._execute_cursor(sql, params, use_shared=True).fetchall()  # type: ignore[attr-defined]
        )

    def cursor(self, named_cursor: Any = None, use_shared: bool = False) -> Any:
        """Return a new cursor on this thread's connection, or its shared one (for `rows`)."""
        return self.connection().shared_cursor if use_shared else super().cursor(named_cursor)

    def run_with_retry(self, operation: Callable[[], Any]) -> Any:
        """Execute one statement. Outside a transaction: retry on conflict and release the connection afterwards."""
        if self.in_transaction():
            return operation()

        def run_once() -> Any:
            try:
                return operation()
            finally:
                self.release()

        return retry_transaction(run_once)

    def release(self) -> None:
        """Return this thread's connection to the pool, except within a `connection_context`."""
        if not self._state.ctx:
            self.close()

    def begin(self, isolation_level: Any = None) -> None:
        """Begin a transaction. It holds a connection until it ends."""
        try:
            super().begin(isolation_level)
        except BaseException:
            self.release()
            raise

    def commit(self) -> None:
        """Commit, and release the connection. If this fails, peewee calls `rollback` next."""
        super().commit()
        callbacks = self._state.commit_callbacks
        self.release()
        self._state.commit_callbacks = callbacks  # peewee calls them next

    def rollback(self) -> None:
        """Roll back, and release the connection. If it is lost, the server has rolled back already."""
        try:
            with suppress(peewee.OperationalError, peewee.InterfaceError):
                super().rollback()
        finally:
            self.release()


databases: WeakSet[PooledPostgresqlDatabase] = WeakSet()
# Kept so that no finalizer runs: it would use locks which threads of the parent may have held.
inherited_pools: list[LifoConnectionPool] = []


def forget_inherited_pools() -> None:
    """In a forked child: start without the parent's connections and threads."""
    for database in databases:
        if database.pool:
            inherited_pools.append(database.pool)
        database.reset_pool()


def close_pools() -> None:
    """At exit: stop the threads of all pools, for which Python 3.13 and newer would else wait in vain for seconds."""
    for database in databases:
        database.close_idle()


os.register_at_fork(after_in_child=forget_inherited_pools)
atexit.register(close_pools)


def retry_transaction(operation: Callable[[], Any]) -> Any:
    """Call a function; call it again after a serialization failure, up to `MAX_ATTEMPTS` times in total."""
    for attempt in range(1, MAX_ATTEMPTS + 1):
        try:
            return operation()
        except peewee.OperationalError as error:
            if sqlstate(error) not in RETRYABLE_SQLSTATES or attempt == MAX_ATTEMPTS:
                raise
        # Random, so that transactions in conflict do not collide again.
        time.sleep(random.uniform(0, 0.005 * 2**attempt))  # noqa: S311 - no secret
