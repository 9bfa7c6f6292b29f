"""Places for heavy work: about one per core, and far fewer than threads, so that logins never stop the reads."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from flask import Flask, current_app

from .errors import Unavailable

# The threads of a worker process that answer requests.
WORKER_THREADS = 128
# How many may wait for each kind of heavy work: a crowd of 40 at once is served, and threads are left for the reads.
MAX_QUEUED = 40
# How many threads may read bodies. Granian hands a request to a thread when its head is there, so a client that is slow
# with its body holds that thread to the end, without a limit of time. The other threads are left for all else.
MAX_BODY_READERS = WORKER_THREADS * 3 // 4
# How many threads may wait for a picture from a store that is elsewhere, and may hang.
MAX_STORAGE_READERS = WORKER_THREADS * 3 // 4


class ConcurrencyLimiter:
    """So many places, and a queue before them that is bounded, so that threads are left for everything else."""

    def __init__(self, places: int, queue: int) -> None:
        self.running = threading.BoundedSemaphore(places)
        self.admitted = threading.BoundedSemaphore(places + queue)

    @contextmanager
    def acquire(self) -> Iterator[None]:
        """Hold a place for the block. Raises `Unavailable` where the queue is full."""
        if not self.admitted.acquire(blocking=False):
            raise Unavailable("The server is busy with what others send. Try again in a moment")
        try:
            with self.running:
                yield
        finally:
            self.admitted.release()


def init_app(app: Flask) -> None:
    """Share the cores among the worker processes, and leave threads for everything else, however many wait."""
    places = min(max(1, (os.cpu_count() or 1) // app.config["WEB_CONCURRENCY"]), WORKER_THREADS // 4)
    app.extensions["slots"] = ConcurrencyLimiter(places, MAX_QUEUED)
    # Uploads are read one at a time on a machine. Those that wait for it must not keep a place from the logins.
    app.extensions["upload_slots"] = ConcurrencyLimiter(1, MAX_QUEUED)
    app.extensions["body_slots"] = ConcurrencyLimiter(MAX_BODY_READERS, queue=0)
    app.extensions["fetch_slots"] = ConcurrencyLimiter(MAX_STORAGE_READERS, queue=0)


def cpu_limiter() -> AbstractContextManager[None]:
    """A place of this application, for a `with` block."""
    return current_app.extensions["slots"].acquire()


def upload_limiter() -> AbstractContextManager[None]:
    """The place of this application for reading an upload, for a `with` block."""
    return current_app.extensions["upload_slots"].acquire()


def body_limiter() -> AbstractContextManager[None]:
    """A place of this application for reading a body, for a `with` block. Nobody waits for one."""
    return current_app.extensions["body_slots"].acquire()


def storage_limiter() -> AbstractContextManager[None]:
    """A place of this application for a picture from elsewhere, for a `with` block. Nobody waits for one."""
    return current_app.extensions["fetch_slots"].acquire()
