"""Numbers for Prometheus, on a port of their own: what is asked for, how long it takes, and how it ends.

Every worker process writes its numbers into files in a folder, whose name it finds in `PROMETHEUS_MULTIPROC_DIR`, and
the process that started them adds them up for who asks. So the sums are exact, and a worker that dies takes none away.
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingTCPServer
from typing import Any

from flask import Flask, Response, current_app, request
from peewee import QueryEvent
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, values
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from models.db.postgres import PooledPostgresqlDatabase

from ..http.body import current_request
from ..http.errors import TooManyRequests, Unauthorized, Unavailable

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


def init_app(app: Flask) -> None:
    """Count in this process, if it is a worker of a server that has a `METRICS_PORT`. Else nothing is added at all."""
    app.extensions["metrics"] = None
    if app.config["METRICS_PORT"] is None or MULTIPROC_DIR_VARIABLE not in os.environ:
        return
    metrics = app.extensions["metrics"] = Metrics()
    app.after_request(metrics.count_request)
    database = app.extensions["database"]
    database.query_hooks.append(metrics.count_query)
    if isinstance(database, PooledPostgresqlDatabase):
        threading.Thread(target=metrics.watch_connections, args=(database,), name="metrics", daemon=True).start()


def time_picture(source: str) -> AbstractContextManager[Any]:
    """Count the seconds that the block takes to make a picture from this source, `upload` or `default`."""
    metrics: Metrics | None = current_app.extensions["metrics"]
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
        metrics: Metrics | None = current_app.extensions["metrics"]
        if metrics:
            metrics.logins.labels(outcome).inc()


class WorkerCollector:
    """The sums over all worker processes, those that have died too."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = threading.Lock()

    def collect(self) -> list[Metric]:
        """Add them up."""
        with self.lock:
            for path in self.folder.glob("gauge_live*.db"):
                process = int(path.stem.rpartition("_")[2])
                if not is_alive(process):
                    mark_process_dead(process, str(self.folder))
            # A worker that was killed just when it made a file leaves an empty one.
            files = [str(path) for path in self.folder.glob("*.db") if path.stat().st_size]
            return list(MultiProcessCollector.merge(files))


def is_alive(process: int) -> bool:
    """Whether there is a process of this number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


class MetricsHandler(BaseHTTPRequestHandler):
    """Answers `GET /metrics` and nothing else."""

    server: MetricsServer
    server_version = "Kennel"
    sys_version = ""
    # Seconds to wait for a client that says nothing.
    timeout = 10

    def do_GET(self) -> None:
        """Send the numbers in the format that the client likes best."""
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        encode, media_type = choose_encoder(self.headers.get("Accept", ""))
        content = encode(self.server.registry)
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Log nothing: who asks does so every few seconds."""


class MetricsServer(ThreadingTCPServer):
    """Serves the numbers of the workers, in threads of the process that starts them.

    Threads, since they can't outlive their process, however that ends; nobody has to watch over them, and there is no
    other process to signal. This process does nothing else but wait, and its signals go to its main thread.
    """

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address: str, port: int) -> None:
        """Take the port. Raises `OSError` where that can't be."""
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, port), MetricsHandler)
        self.registry = CollectorRegistry()
        self.folder = ""

    def start(self) -> None:
        """Make a fresh folder for the workers, and serve. Call it before the first worker is started."""
        self.folder = os.environ[MULTIPROC_DIR_VARIABLE] = tempfile.mkdtemp(prefix="kennel-metrics-")
        self.registry.register(WorkerCollector(Path(self.folder)))
        # A worker is a fork of this process: it would hold the port when this process has ended.
        os.register_at_fork(after_in_child=self.socket.close)
        threading.Thread(target=self.serve_forever, name="metrics", daemon=True).start()

    def stop(self) -> None:
        """Give the port back, and remove the folder. Call it when the last worker has ended."""
        self.shutdown()
        self.server_close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def handle_error(self, *_: Any) -> None:
        """Log what went wrong, where the base class would print it."""
        log.error("The metrics could not be sent", exc_info=sys.exc_info()[1])
