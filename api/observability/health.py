"""Whether the server can do its work: the database answers, its tables are those of the code, pictures can be kept."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import peewee
from flask import Flask, current_app

from models import migrations

from ..http.errors import Unavailable
from ..pictures.store import PictureStore

log = logging.getLogger("kennel")

# How long a check may take, in seconds. Its answer is to be sent within 2.
DEADLINE = 1.5

NO_DATABASE = "The database does not answer"
NO_STORE = "Pictures can't be stored"


class SingleFlightCheck:
    """A question that may hang. It runs in a thread of its own, and who asks meanwhile waits for the same answer.

    So there is one such thread at most, however many ask and however long it hangs.
    """

    def __init__(self, question: Callable[[], Any]) -> None:
        self.probe = question
        self.lock = threading.Lock()
        self.deadline = 0.0
        self.answer: Future[Any] = Future()
        self.answer.set_result(None)

    def start(self) -> Callable[[], Any]:
        """Ask, unless it is being asked. Returns what waits for the answer.

        That raises what the question raises, and `TimeoutError` when the deadline is over; at once where it has hung
        for longer, so that no more threads hang than must.
        """
        with self.lock:
            if self.answer.done():
                answer: Future[Any] = Future()
                threading.Thread(target=self.run, args=(answer,), name="check", daemon=True).start()
                self.answer = answer
                self.deadline = time.monotonic() + DEADLINE
            answer, deadline = self.answer, self.deadline
        return lambda: answer.result(max(0, deadline - time.monotonic()))

    def run(self, answer: Future[Any]) -> None:
        """Ask, and hand on what comes of it."""
        try:
            answer.set_result(self.probe())
        except Exception as error:
            answer.set_exception(error)


class Readiness:
    """The checks of an application."""

    def __init__(self, database: peewee.Database, store: PictureStore) -> None:
        self.database = SingleFlightCheck(lambda: pending_migrations(database))
        self.store = SingleFlightCheck(store.check)

    def reasons(self) -> dict[str, str]:
        """Why the server can't do its work, by what is at fault. Takes `DEADLINE` seconds at most."""
        database, store = self.database.start(), self.store.start()
        reasons = {}
        try:
            if pending := database():
                reasons["migrations"] = f"Migrations are still to be applied: {', '.join(pending)}"
        except Exception as error:
            reasons["database"] = log_and_return(NO_DATABASE, error)
        try:
            store()
        except Exception as error:
            reasons["store"] = log_and_return(NO_STORE, error)
        return reasons


def log_and_return(reason: str, error: Exception) -> str:
    """The reason. Why it is one stands in the log by its kind alone, since its text may hold a secret or a path."""
    log.warning("%s (%s)", reason, type(error).__name__)
    return reason


def pending_migrations(database: peewee.Database) -> list[str]:
    """The names of the migrations that are still to be applied, read by a connection that nobody else uses.

    Raises what the database raises, and `FileNotFoundError` where there is none: a connection would make an empty one.
    """
    if isinstance(database, peewee.SqliteDatabase):
        Path(database.database).stat()
    try:
        return [migration.name for migration in migrations.status(database) if not migration.applied]
    finally:
        database.close()


def init_app(app: Flask) -> None:
    """Check the database and the pictures of this application. No thread runs before somebody asks."""
    app.extensions["readiness"] = Readiness(app.extensions["database"], app.extensions["pictures"])


def require_readiness() -> None:
    """Raise `Unavailable` with all reasons why the server can't do its work, where there are any."""
    reasons = current_app.extensions["readiness"].reasons()
    if reasons:
        fields = {name: [reason] for name, reason in reasons.items()}
        raise Unavailable(". ".join(reasons.values()), fields=fields)
