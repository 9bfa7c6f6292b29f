"""Prometheus metrics of a worker process: requests, statements, pictures and logins.

Every worker writes to files in `PROMETHEUS_MULTIPROC_DIR`, and the main process sums them up (`api.server.
metrics_server`). So the sums are exact, and a worker that dies takes none away.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from flask import Flask, Response, request
from peewee import QueryEvent
from prometheus_client import Counter, Gauge, Histogram, values

from models.db.postgres import PooledPostgresqlDatabase

from ..database import app_database
from ..http.app_state import AppState
from ..http.errors import TooManyRequests, Unauthorized, Unavailable
from ..http.request import current_request

log = logging.getLogger("kennel")

# What names the folder, by a convention of prometheus_client.
MULTIPROC_DIR_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

# Each name of a label is a row of numbers, so names that a client may choose freely are not among them.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
STATEMENTS = frozenset({"select", "insert", "update", "delete"})
OUTCOMES = ("ok", "wrong", "limited", "busy", "failed")

# Upper bounds in seconds: of a query, which may take a tenth of a millisecond, and of all that is made of queries.
QUERY_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
SECONDS = QUERY_SECONDS[3:]


class Metrics:
    """The numbers of a worker process. They are in no registry: who reads them reads their files."""

    def __init__(self) -> None:
        # prometheus_client chose where it keeps numbers when it was imported, and the folder was not known then.
        values.ValueClass = values.get_value_class()
        self.requests = counter("http_requests", "Requests answered.", "method", "route", "status")
        self.request_seconds = histogram(
            "http_request_seconds", "Seconds from a request to its answer.", SECONDS, "method", "route", "status"
        )
        self.queries = counter("database_queries", "Statements run, by how they ended.", "statement", "outcome")
        self.query_seconds = histogram(
            "database_query_seconds", "Seconds that a statement took.", QUERY_SECONDS, "statement"
        )
        self.picture_seconds = histogram(
            "picture_seconds", "Seconds that it took to read and shrink an upload, or to draw a default.",
            SECONDS, "source",
        )  # fmt: skip
        self.logins = counter("logins", "Logins by password, by how they ended.", "outcome")
        for outcome in OUTCOMES:
            self.logins.labels(outcome)  # from 0 on, so that the first one is seen as a rise

    def count_request(self, response: Response) -> Response:
        """Count a request by its route, never by its path, and by how it was answered."""
        method = request.method if request.method in METHODS else "other"
        labels = (method, str(request.url_rule or "(no route)"), str(response.status_code))
        self.requests.labels(*labels).inc()
        self.request_seconds.labels(*labels).observe(time.perf_counter() - current_request().started)
        return response

    def count_query(self, event: QueryEvent) -> None:
        """Count a statement by its first word."""
        word = event.sql.split(None, 1)[0].lower()
        statement = word if word in STATEMENTS else "other"
        self.queries.labels(statement, "failed" if event.exception else "ok").inc()
        self.query_seconds.labels(statement).observe(event.duration)

    def watch_connections(self, database: PooledPostgresqlDatabase) -> None:
        """Look each second how many connections are in use. To count them one by one would cost every query."""
        limit = gauge("database_connections_limit", "Connections to the database that may be open at most.")
        in_use = gauge("database_connections_in_use", "Connections to the database that are in use.")
        limit.set(database.size)
        while True:
            in_use.set(database.in_use)
            time.sleep(1)


def counter(name: str, meaning: str, *labels: str) -> Counter:
    """A number that only rises."""
    return Counter(f"kennel_{name}", meaning, labels, registry=None)


def histogram(name: str, meaning: str, bounds: Iterable[float], *labels: str) -> Histogram:
    """How many took how long."""
    return Histogram(f"kennel_{name}", meaning, labels, buckets=tuple(bounds), registry=None)


def gauge(name: str, meaning: str) -> Gauge:
    """A number that rises and falls, summed up over the worker processes that live."""
    return Gauge(f"kennel_{name}", meaning, registry=None, multiprocess_mode="livesum")


# None where this process counts nothing.
worker_metrics = AppState[Metrics | None]("metrics")


def init_app(app: Flask) -> None:
    """Count in this process, if it is a worker of a server that has a `METRICS_PORT`. Else nothing is added at all."""
    worker_metrics.set(app, None)
    if app.config["METRICS_PORT"] is None or MULTIPROC_DIR_VARIABLE not in os.environ:
        return
    metrics = Metrics()
    worker_metrics.set(app, metrics)
    app.after_request(metrics.count_request)
    database = app_database.get(app)
    database.query_hooks.append(metrics.count_query)
    if isinstance(database, PooledPostgresqlDatabase):
        threading.Thread(target=metrics.watch_connections, args=(database,), name="metrics", daemon=True).start()


def time_picture(source: str) -> AbstractContextManager[Any]:
    """Count the seconds that the block takes to make a picture from this source, `upload` or `default`."""
    metrics = worker_metrics.get()
    return metrics.picture_seconds.labels(source).time() if metrics else nullcontext()


@contextmanager
def count_login() -> Iterator[None]:
    """Count the block as a login, by how it ends."""
    outcome = "failed"
    try:
        yield
        outcome = "ok"
    except Unauthorized:
        outcome = "wrong"
        raise
    except TooManyRequests:
        outcome = "limited"
        raise
    except Unavailable:
        outcome = "busy"
        raise
    finally:
        metrics = worker_metrics.get()
        if metrics:
            metrics.logins.labels(outcome).inc()
