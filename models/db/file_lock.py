"""A lock between the processes of one machine."""

from __future__ import annotations

import fcntl
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# flock(2) has no timeout.
POLL_SECONDS = 0.01


@contextmanager
def exclusive_lock(folder: Path, timeout: float = math.inf) -> Iterator[None]:
    """Hold the lock of a folder (flock(2)) for the block. Other threads and processes of this machine wait for it.

    Raises `TimeoutError` if it is not free within `timeout` seconds.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    deadline = time.monotonic() + timeout
    try:
        while not lock_if_free(descriptor):
            if time.monotonic() > deadline:
                raise TimeoutError
            time.sleep(POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)


def lock_if_free(descriptor: int) -> bool:
    """Lock an open file, and return whether nothing else had locked it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
