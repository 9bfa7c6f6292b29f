"""Concurrency limits (bulkheads): heavy work never takes the threads that everything else needs.

CPU-bound work gets about one permit per core, with a bounded queue; beyond the queue a request gets 503.
"""

from __future__ import annotations

import os
import threading
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
# Threads that may read bodies. Granian assigns a thread when a request's headers are complete, so a slow body keeps it
# without a time limit.
MAX_BODY_READERS = WORKER_THREADS * 3 // 4
# Threads that may wait for a remote picture storage, which may hang.
MAX_STORAGE_READERS = WORKER_THREADS * 3 // 4


class ConcurrencyLimiter:
    """A semaphore with `permits`, and a bounded `queue` of threads that may wait for one."""

    def __init__(self, permits: int, queue: int = 0) -> None:
        self.running = threading.BoundedSemaphore(permits)
        self.admitted = threading.BoundedSemaphore(permits + queue)

    @contextmanager
    def acquire(self) -> Iterator[None]:
        """Wait for a permit, and hold it for the block. Raises `Unavailable` if the queue is full."""
        if not self.admitted.acquire(blocking=False):
            raise Unavailable("Server busy. Please retry shortly")
        try:
            with self.running:
                yield
        finally:
            self.admitted.release()


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
            cpu=ConcurrencyLimiter(permits, MAX_QUEUED),
            # Uploads are decoded one at a time per machine. While they wait they must not hold a CPU permit.
            uploads=ConcurrencyLimiter(1, MAX_QUEUED),
            bodies=ConcurrencyLimiter(MAX_BODY_READERS),
            storage=ConcurrencyLimiter(MAX_STORAGE_READERS),
        ),
    )
