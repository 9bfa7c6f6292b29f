"""Concurrency limits (bulkheads): heavy work never takes the threads that everything else needs.

CPU-bound work gets about one permit per core, with a bounded queue; beyond the queue a request gets 503.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from flask import Flask

from .app_state import AppState
from .errors import Unavailable

# The threads of a worker process that answer requests.
WORKER_THREADS = 128
# Requests that may wait for a permit. A burst of 40 is served, and threads are left for reads.
MAX_QUEUED = 40
# How long a request waits for a permit.
MAX_WAIT_SECONDS = 20
BUSY = "Server busy. Please retry shortly"
# The holder of all places, in the counts of a limiter.
EVERYONE = ("", "")
# Threads that may read bodies. Granian assigns a thread when a request's headers are complete, so a slow body keeps it
# without a time limit.
MAX_BODY_READERS = WORKER_THREADS * 3 // 4
MAX_BODIES_PER_ADDRESS = MAX_BODY_READERS * 3 // 4
# Threads that may wait for a remote picture storage, which may hang.
MAX_STORAGE_READERS = WORKER_THREADS * 3 // 4


class ConcurrencyLimiter:
    """A semaphore with `permits`, and a bounded `queue` of threads that may wait for one.

    `shares` limits how many of these places one client may hold, by what identifies it: an `address` or an `account`.
    """

    def __init__(self, permits: int, queue: int = 0, **shares: int) -> None:
        self.running = threading.BoundedSemaphore(permits)
        self.places = permits + queue
        self.shares = shares
        self.lock = threading.Lock()
        self.admitted: Counter[tuple[str, str]] = Counter()

    @contextmanager
    def acquire(self, **client: str) -> Iterator[None]:
        """Wait for a permit, and hold it for the block.

        `client` identifies for whom, such as `address="192.0.2.1"`. Raises `Unavailable` if the queue is full or does
        not move, or if the client holds its share.
        """
        holders = [EVERYONE, *client.items()]
        with self.lock:
            if any(self.admitted[holder] >= self.shares.get(holder[0], self.places) for holder in holders):
                raise Unavailable(BUSY)
            self.admitted.update(holders)
        try:
            if not self.running.acquire(timeout=MAX_WAIT_SECONDS):
                raise Unavailable(BUSY)
            try:
                yield
            finally:
                self.running.release()
        finally:
            with self.lock:
                self.admitted.subtract(holders)
                self.admitted = +self.admitted  # without those that hold no place


class Limiters(NamedTuple):
    """The concurrency limiters of an application."""

    cpu: ConcurrencyLimiter
    uploads: ConcurrencyLimiter
    bodies: ConcurrencyLimiter
    storage: ConcurrencyLimiter


limiters = AppState[Limiters]("limiters")


def init_app(app: Flask) -> None:
    """Share the cores among the worker processes, and leave threads for everything else."""
    permits = min(max(1, (os.cpu_count() or 1) // app.config["WEB_CONCURRENCY"]), WORKER_THREADS // 4)
    limiters.set(
        app,
        Limiters(
            cpu=ConcurrencyLimiter(permits, MAX_QUEUED, account=MAX_QUEUED // 2, address=MAX_QUEUED * 3 // 4),
            # Uploads are decoded one at a time per machine. While they wait they must not hold a CPU permit.
            uploads=ConcurrencyLimiter(1, MAX_QUEUED),
            bodies=ConcurrencyLimiter(MAX_BODY_READERS, address=MAX_BODIES_PER_ADDRESS),
            storage=ConcurrencyLimiter(MAX_STORAGE_READERS),
        ),
    )
