"""A connection pool: psycopg_pool, with connections that open in the caller's thread and are used last in, first out.

psycopg_pool bounds the connections and the waiting threads, and closes connections that are idle for long or old.
"""

from __future__ import annotations

import select
from collections import deque
from types import SimpleNamespace
from typing import Any, Self

from psycopg.pq import TransactionStatus
from psycopg_pool import ConnectionPool


class PoolEntry:
    """What the pool holds: a connection that is opened by the thread that uses it.

    psycopg_pool opens connections in threads of its own, with a back-off between attempts, while callers wait for their
    timeout and never learn the cause. A pool entry lets each caller see the error at once, and recover at once.
    """

    # What the pool reads of a psycopg connection: an entry is returned idle.
    pgconn = SimpleNamespace(transaction_status=TransactionStatus.IDLE)
    connection: Any = None
    pool: LifoConnectionPool

    @classmethod
    def connect(cls, conninfo: str = "", **kwargs: Any) -> Self:
        """Return an entry without a connection."""
        return cls()

    def close(self) -> None:
        """Close the connection: the entry is too old, was idle for too long, or the connection is broken."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None


class Stack(deque[PoolEntry]):
    """The idle entries. The last one in is the first one out, and those without a connection come last.

    So as long as one has a connection, no other is opened, which might fail.
    """

    def append(self, entry: PoolEntry) -> None:
        """Add an entry."""
        if entry.connection is None:
            super().append(entry)
        else:
            self.appendleft(entry)


class LifoConnectionPool(ConnectionPool[Any]):
    """A pool that hands out the connection that was used last, whose memory is in the processor's caches.

    psycopg_pool takes turns among all connections, with which one thread alone is half as fast after a burst.
    """

    _pool: Any

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(open=False, **kwargs)
        self._pool = Stack()
        self.open()


def is_connection_alive(connection: Any) -> bool:
    """Return whether the server still has this idle connection.

    A server only ever sends an idle client that it closes the connection, so data to read means that. To look costs a
    microsecond; a query would cost a round trip.
    """
    if connection.closed:
        return False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return not poll.poll(0)
