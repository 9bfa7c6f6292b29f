"""Prometheus metrics of a worker process: requests, database statements, pictures and logins.

Every worker writes to files in `PROMETHEUS_MULTIPROC_DIR`, and the main process adds them up (see
`api/server/metrics_server.py`). So the totals are exact, and include those of workers that died.
"""

from __future__ import annotations

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

# The variable by which prometheus_client finds the directory of the workers' files.
MULTIPROC_DIR_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

# Each label value adds time series, so a value that a client can choose freely is never one.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
STATEMENTS = frozenset({"select", "insert", "update", "delete"})
LOGIN_OUTCOMES = ("ok", "wrong", "limited", "busy", "failed")

# Upper bounds in seconds. A query may take a tenth of a millisecond, a request runs several.
QUERY_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
REQUEST_BUCKETS = QUERY_BUCKETS[3:]

POOL_SAMPLE_SECONDS = 1


class Metrics:
    """The metrics of a worker process. They are in no registry: the main process reads their files."""

    def __init__(self) -> None:
        # prometheus_client chose its storage when it was imported, before the directory was known. Choose again.
        values.ValueClass = values.get_value_class()
        self.requests = counter("http_requests", "HTTP requests.", "method", "route", "status")
        self.request_duration = histogram(
            "http_request_duration_seconds", "Duration of HTTP requests in seconds.", REQUEST_BUCKETS,
            "method", "route", "status",
        )  # fmt: skip
        self.queries = counter("database_queries", "Database statements, by outcome.", "statement", "outcome")
        self.query_duration = histogram(
            "database_query_duration_seconds", "Duration of database statements in seconds.", QUERY_BUCKETS, "statement"
        )
        self.picture_duration = histogram(
            "picture_duration_seconds", "Time to resize an upload or draw a default picture, in seconds.",
            REQUEST_BUCKETS, "source",
        )  # fmt: skip
        self.logins = counter("logins", "Logins by password, by outcome.", "outcome")
        for outcome in LOGIN_OUTCOMES:
            self.logins.labels(outcome)  # export zeros, so that `rate()` sees the first increase

    def count_request(self, response: Response) -> Response:
        """Record a request by its route, never by its path."""
        method = request.method if request.method in METHODS else "other"
        labels = (method, str(request.url_rule or "(no route)"), str(response.status_code))
        self.requests.labels(*labels).inc()
        self.request_duration.labels(*labels).observe(time.perf_counter() - current_request().started)
        return response

    def count_query(self, event: QueryEvent) -> None:
        """Record a statement by its first word."""
        word = event.sql.split(None, 1)[0].lower()
        statement = word if word in STATEMENTS else "other"
        self.queries.labels(statement, "failed" if event.exception else "ok").inc()
        self.query_duration.labels(statement).observe(event.duration)

    def sample_connections(self, database: PooledPostgresqlDatabase) -> None:
        """Sample the connections in use once a second, forever. To count each acquisition would slow every query."""
        limit = gauge("database_connections_limit", "Maximum number of database connections.")
        in_use = gauge("database_connections_in_use", "Database connections in use.")
        limit.set(database.size)
        while True:
            in_use.set(database.in_use)
            time.sleep(POOL_SAMPLE_SECONDS)


def counter(name: str, description: str, *labels: str) -> Counter:
    """Return a counter; its name gets the suffix `_total`."""
    return Counter(f"kennel_{name}", description, labels, registry=None)


def histogram(name: str, description: str, buckets: Iterable[float], *labels: str) -> Histogram:
    """Return a histogram with these upper bounds."""
    return Histogram(f"kennel_{name}", description, labels, buckets=tuple(buckets), registry=None)


def gauge(name: str, description: str) -> Gauge:
    """Return a gauge, summed over the live worker processes."""
    return Gauge(f"kennel_{name}", description, registry=None, multiprocess_mode="livesum")


# None in a process without metrics.
worker_metrics = AppState[Metrics | None]("metrics")


def init_app(app: Flask) -> None:
    """Record metrics if this process is a worker of a server with a `METRICS_PORT`. Otherwise, add no hook at all."""
    worker_metrics.set(app, None)
    if app.config["METRICS_PORT"] is None or MULTIPROC_DIR_VARIABLE not in os.environ:
        return
    metrics = Metrics()
    worker_metrics.set(app, metrics)
    app.after_request(metrics.count_request)
    database = app_database.get(app)
    database.query_hooks.append(metrics.count_query)
    if isinstance(database, PooledPostgresqlDatabase):
        threading.Thread(target=metrics.sample_connections, args=(database,), name="metrics", daemon=True).start()


def time_picture(source: str) -> AbstractContextManager[Any]:
    """Record the duration of the block, which makes a picture from this source: `upload` or `default`."""
    metrics = worker_metrics.get()
    return metrics.picture_duration.labels(source).time() if metrics else nullcontext()


@contextmanager
def count_login() -> Iterator[None]:
    """Count the block as a login, by its outcome."""
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
