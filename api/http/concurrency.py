"""Places for heavy work: about one per core, and far fewer than threads, so that logins never stop the reads."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from flask import Flask, current_app

from .errors import Unavailable

# The threads of a worker process that answer requests.
THREADS = 128
# How many may wait for each kind of heavy work: a crowd of 40 at once is served, and threads are left for the reads.
QUEUE = 40
# How many threads may read bodies. Granian hands a request to a thread when its head is there, so a client that is slow
# with its body holds that thread to the end, without a limit of time. The other threads are left for all else.
READERS = THREADS * 3 // 4
# How many threads may wait for a picture from a store that is elsewhere, and may hang.
FETCHERS = THREADS * 3 // 4


class Slots:
    """So many places, and a queue before them that is bounded, so that threads are left for everything else."""

    def __init__(self, places: int, queue: int) -> None:
        self.places = threading.BoundedSemaphore(places)
        self.room = threading.BoundedSemaphore(places + queue)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold a place for the block. Raises `Unavailable` where the queue is full."""
        if not self.room.acquire(blocking=False):
            raise Unavailable("The server is busy with what others send. Try again in a moment")
        try:
            with self.places:
                yield
        finally:
            self.room.release()


def init_app(app: Flask) -> None:
    """Share the cores among the worker processes, and leave threads for everything else, however many wait."""
    places = min(max(1, (os.cpu_count() or 1) // app.config["WEB_CONCURRENCY"]), THREADS // 4)
    app.extensions["slots"] = Slots(places, QUEUE)
    # Uploads are read one at a time on a machine. Those that wait for it must not keep a place from the logins.
    app.extensions["upload_slots"] = Slots(1, QUEUE)
    app.extensions["body_slots"] = Slots(READERS, queue=0)
    app.extensions["fetch_slots"] = Slots(FETCHERS, queue=0)


def slot() -> AbstractContextManager[None]:
    """A place of this application, for a `with` block."""
    return current_app.extensions["slots"].taken()


def upload_slot() -> AbstractContextManager[None]:
    """The place of this application for reading an upload, for a `with` block."""
    return current_app.extensions["upload_slots"].taken()


def body_slot() -> AbstractContextManager[None]:
    """A place of this application for reading a body, for a `with` block. Nobody waits for one."""
    return current_app.extensions["body_slots"].taken()


def fetch_slot() -> AbstractContextManager[None]:
    """A place of this application for a picture from elsewhere, for a `with` block. Nobody waits for one."""
    return current_app.extensions["fetch_slots"].taken()
