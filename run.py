"""Start the server: `python run.py`. For a WSGI server of your own, the application is `run:app`."""

from __future__ import annotations

import argparse
import ctypes
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable

import peewee
from granian import Granian
from granian.constants import Interfaces

from api import create_app
from api.config import ConfigError
from api.http.concurrency import WORKER_THREADS
from api.observability.metrics import MetricsServer
from api.security.cors_diagnosis import enable_refusal_hints
from api.server.graceful_shutdown import DRAIN_SECONDS, shutdown
from models import close_connections, database, migrations

LOOPBACK = ("127.0.0.1", "localhost", "::1")
# How long a request in flight may take to end when the server is told to stop, in seconds. Before that comes the
# farewell, and the whole stop takes less than ten.
GRACE = 8
# glibc's number for this option of mallopt(3).
M_MMAP_THRESHOLD = -3

try:
    app = create_app()
except ConfigError as error:
    sys.exit(str(error))


def main() -> None:
    """Bring the database up to date, then serve."""
    parser = argparse.ArgumentParser(description="Start the Kennel server.")
    parser.add_argument("--dev", action="store_true", help="start anew when the code changes; on this machine only")
    dev = parser.parse_args().dev
    try:
        applied = migrations.upgrade(database.obj)
    except (peewee.DatabaseError, OSError, TypeError) as error:
        reason = " ".join(str(error).split())  # PostgreSQL's reasons have several lines
        sys.exit(f"DATABASE_URL: the database can't be used ({reason}). For example: sqlite:///dogs.sqlite")
    for name in applied:
        print(f"Applied {name} to the database.", flush=True)
    serve_dev() if dev else serve()


def serve() -> None:
    """Serve with granian until SIGTERM or Ctrl-C; a request in flight is answered first."""
    host, port = app.config["HOST"], app.config["PORT"]
    address = free_address(host, port)
    metrics = metrics_server(address) if app.config["METRICS_PORT"] else None
    close_connections()  # the workers open their own
    give_memory_back()
    os.register_at_fork(before=hold_stop, after_in_parent=release_stop, after_in_child=stop_when_told)
    server = Granian(
        "run:app",
        address=address,
        port=port,
        interface=Interfaces.WSGI,
        workers=app.config["WEB_CONCURRENCY"],
        blocking_threads=WORKER_THREADS,
        workers_kill_timeout=GRACE,
        respawn_failed_workers=True,
        websockets=False,
        log_enabled=False,
    )
    shutdown.open_pipe()
    server.on_startup(hear_granian)
    server.on_startup(lambda: take_leave_before(server.signal_handler_interrupt))
    if metrics:
        # Granian calls the one when it takes signals and has no workers yet, the other when it has none any more.
        server.on_startup(metrics.start)
        server.on_shutdown(metrics.stop)
    print(f"Kennel answers at {app.config['PUBLIC_URL']} and listens on {address}, port {port}.", flush=True)
    print("Stop it with Ctrl-C.", flush=True)
    server.serve()


def hold_stop() -> None:
    """Let a SIGTERM wait while a worker is being forked."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])


def release_stop() -> None:
    """Take a SIGTERM again, and one that has waited."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])


def stop_when_told() -> None:
    """Let a worker stop by one SIGTERM, which this process sends it. Else it can hang until GRACE is over.

    A terminal sends Ctrl-C to the workers too, and two signals are one too many. While a worker starts, it would take
    a signal for one to this process and forget it.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    release_stop()


def take_leave_before(end: Callable[[], None]) -> None:
    """Let the workers take leave between the signal to stop and their end. A second signal ends them at once."""

    def stop(*_: object) -> None:
        if shutdown.start():
            threading.Timer(DRAIN_SECONDS, end).start()
        else:
            end()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)


def hear_granian() -> None:
    """Log granian's errors in this process: a worker that has ended by itself.

    Not in the workers, where it would quote the text of an exception. Nor its warnings: it says of a worker that has
    just ended by itself that it had to kill it.
    """
    granian = logging.getLogger("_granian")
    granian.handlers = []
    granian.propagate = True
    granian.setLevel(logging.ERROR)


def give_memory_back() -> None:
    """Tell glibc, here and in the workers, to give each block of 256 KiB or more back as soon as it is freed.

    It would keep what the reading of a large picture took for the thread that read it, and there are many threads.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_MMAP_THRESHOLD, 256 * 1024)


def free_address(host: str, port: int) -> str:
    """The IP address of this host, where we can listen; else stop with one line.

    Granian would share the port with a server that is there already.
    """
    try:
        family, kind, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
        return str(address[0])
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "no such host"
        sys.exit(f"HOST and PORT: can't listen on {host}:{port} ({reason}). For example: 127.0.0.1 and 8001")


def metrics_server(address: str) -> MetricsServer:
    """What serves the metrics at this address, on a port that is free; else stop with one line."""
    port = app.config["METRICS_PORT"]
    try:
        return MetricsServer(address, port)
    except OSError as error:
        sys.exit(f"METRICS_PORT: can't listen on {address}:{port} ({error.strerror}). For example: 9464")


def serve_dev() -> None:
    """Serve with Flask's own server, which starts anew when the code changes. No debugger."""
    if app.config["HOST"] not in LOOPBACK:
        sys.exit("HOST: --dev serves this machine only. For example: 127.0.0.1")
    enable_refusal_hints(app)
    logging.getLogger("werkzeug").setLevel("WARNING")
    app.run(app.config["HOST"], app.config["PORT"], debug=False, use_reloader=True, threaded=True)


if __name__ == "__main__":
    main()
