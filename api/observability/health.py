"""Readiness: the database answers, its schema is up to date, pictures can be stored, and the server is not draining."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import peewee
from flask import Flask

from models import migrations

from ..database import app_database
from ..http.app_state import AppState
from ..http.errors import Unavailable

log = logging.getLogger("kennel")

# How long a check may take. The answer is due within 2 seconds.
DEADLINE_SECONDS = 1.5
# How long a successful check of the picture storage is valid: it writes a file, and anyone may ask for it.
STORE_VALID_SECONDS = 5

DATABASE_UNAVAILABLE = "Database unavailable"
STORE_UNAVAILABLE = "Picture storage unavailable"
DRAINING = "The server is shutting down"


class SingleFlightCheck:
    """A health probe that may block. At most one runs at a time, in a daemon thread; concurrent callers share it.

    A success is valid for `valid_seconds` more.
    """

    def __init__(self, probe: Callable[[], Any], valid_seconds: float = 0) -> None:
        self.probe = probe
        self.valid_seconds = valid_seconds
        self.valid_until = 0.0
        self.lock = threading.Lock()
        self.deadline = 0.0
        self.result: Future[Any] = Future()
        self.result.set_result(None)

    def start(self) -> Callable[[], Any]:
        """Start the probe unless it is running. Return a function that waits for its result.

        That function raises what the probe raises, and `TimeoutError` once the deadline has passed; so a probe that
        hangs does not hold up more than one thread.
        """
        with self.lock:
            if self.result.done() and time.monotonic() >= self.valid_until:
                result: Future[Any] = Future()
                threading.Thread(target=self.run, args=(result,), name="health", daemon=True).start()
                self.result = result
                self.deadline = time.monotonic() + DEADLINE_SECONDS
            result, deadline = self.result, self.deadline
        return lambda: result.result(max(0, deadline - time.monotonic()))

    def run(self, result: Future[Any]) -> None:
        """Run the probe, and set its result or exception."""
        try:
            answer = self.probe()
            self.valid_until = time.monotonic() + self.valid_seconds
            result.set_result(answer)
        except Exception as error:
            result.set_exception(error)


@dataclass(frozen=True)
class Readiness:
    """The checks of an application."""

    database: SingleFlightCheck
    store: SingleFlightCheck
    is_draining: Callable[[], bool]

    def failures(self) -> dict[str, str]:
        """Return the reasons why the server is not ready, by component. Takes at most `DEADLINE_SECONDS`."""
        if self.is_draining():
            return {"server": DRAINING}
        database, store = self.database.start(), self.store.start()
        failures = {}
        try:
            if pending := database():
                failures["migrations"] = f"Pending migrations: {', '.join(pending)}"
        except Exception as error:
            failures["database"] = log_and_return(DATABASE_UNAVAILABLE, error)
        try:
            store()
        except Exception as error:
            failures["store"] = log_and_return(STORE_UNAVAILABLE, error)
        return failures


readiness = AppState[Readiness]("readiness")


def init_app(app: Flask, check_store: Callable[[], Any], is_draining: Callable[[], bool]) -> None:
    """Check the database of this application, its picture store by `check_store`, and whether it is draining.

    No thread runs before the first request. The checks are callables, so that this package imports neither the
    pictures nor the server.
    """
    database = app_database.get(app)
    readiness.set(
        app,
        Readiness(
            SingleFlightCheck(lambda: pending_migrations(database)),
            SingleFlightCheck(check_store, STORE_VALID_SECONDS),
            is_draining,
        ),
    )


def require_readiness() -> None:
    """Raise `Unavailable` with all reasons why the server is not ready."""
    failures = readiness.get().failures()
    if failures:
        fields = {name: [reason] for name, reason in failures.items()}
        raise Unavailable(". ".join(failures.values()), fields=fields)


def log_and_return(reason: str, error: Exception) -> str:
    """Log the type of the error, whose text may hold a secret or a path, and return the reason."""
    log.warning("%s (%s)", reason, type(error).__name__)
    return reason


def pending_migrations(database: peewee.Database) -> list[str]:
    """Return the names of the pending migrations, read over a connection of the calling thread.

    Raises what the database raises, and `FileNotFoundError` for a SQLite file that does not exist: connecting would
    create an empty one.
    """
    if isinstance(database, peewee.SqliteDatabase):
        Path(database.database).stat()
    try:
        return [migration.name for migration in migrations.status(database) if not migration.applied]
    finally:
        database.close()
