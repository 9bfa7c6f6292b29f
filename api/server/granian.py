"""The production server: granian with worker processes, graceful shutdown and the metrics port."""

from __future__ import annotations

import ctypes
import logging
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

from flask import Flask
from granian import Granian
from granian.constants import Interfaces

from models import close_connections

from ..http.concurrency import WORKER_THREADS
from ..version import version
from .graceful_shutdown import DRAIN_SECONDS, shutdown
from .metrics_server import start_metrics_server

# How long a request in flight may take after SIGTERM. With the draining before it, a stop takes less than 10 seconds.
KILL_TIMEOUT_SECONDS = 7
# The open connections of a worker, most of which are idle. Granian closes one that sends no request for 30 seconds.
MAX_CONNECTIONS = 8192
# Constants of Linux' prctl(2) and glibc's mallopt(3).
PR_SET_PDEATHSIG = 1
M_MMAP_THRESHOLD = -3


def serve(app: Flask, target: str) -> None:
    """Serve until SIGTERM or Ctrl-C; requests in flight are answered first.

    The workers import the application by `target`, such as `run:app`. Exits with one line if a port is taken.
    """
    host, port = app.config["HOST"], app.config["PORT"]
    address = resolve_free_address(host, port)
    stop_metrics = start_metrics_server(address, app.config["METRICS_PORT"]) if app.config["METRICS_PORT"] else None
    close_connections()  # the workers open their own
    configure_malloc()
    raise_open_file_limit()
    os.register_at_fork(before=block_sigterm, after_in_parent=unblock_sigterm, after_in_child=reset_signal_handlers)
    server = Granian(
        target,
        address=address,
        port=port,
        interface=Interfaces.WSGI,
        workers=app.config["WEB_CONCURRENCY"],
        blocking_threads=WORKER_THREADS,
        backpressure=MAX_CONNECTIONS,
        workers_kill_timeout=KILL_TIMEOUT_SECONDS,
        respawn_failed_workers=True,
        websockets=False,
        log_enabled=False,
    )
    shutdown.open_pipe()
    server.on_startup(forward_granian_errors)
    server.on_startup(lambda: drain_then(server.signal_handler_interrupt))
    if stop_metrics:
        server.on_shutdown(stop_metrics)
    listening_on = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    print(f"Kennel {version()} running at {app.config['PUBLIC_URL']} (listening on {listening_on}).", flush=True)
    print("Press Ctrl-C to stop.", flush=True)
    server.serve()


def block_sigterm() -> None:
    """Hold back SIGTERM while a worker is being forked."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])


def unblock_sigterm() -> None:
    """Deliver SIGTERM again, including one that was held back."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])


def reset_signal_handlers() -> None:
    """In each forked worker: ignore SIGINT and restore the default SIGTERM, so that one SIGTERM ends it.

    Ctrl-C reaches the entire process group, and a second signal would kill requests in flight. With the inherited
    handler a worker that is still starting would swallow SIGTERM, and hang until `KILL_TIMEOUT_SECONDS`.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_with_parent()
    unblock_sigterm()


def end_with_parent() -> None:
    """Let the kernel kill this worker when the main process dies, even of SIGKILL, so that the port is free again.

    Linux only (PR_SET_PDEATHSIG(2const)).
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "prctl"):
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def drain_then(stop_server: Callable[[], None]) -> None:
    """Drain for `DRAIN_SECONDS` after SIGINT or SIGTERM, then stop. A second signal stops at once."""

    def handle_signal(*_: object) -> None:
        if shutdown.start():
            threading.Timer(DRAIN_SECONDS, stop_server).start()
        else:
            stop_server()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle_signal)


def forward_granian_errors() -> None:
    """Send granian's ERROR records (a worker died) to our log handler, in the main process only.

    In the workers they would quote exception messages, which may contain user data. Its warnings are dropped: they
    claim that a worker that crashed had to be killed. So are errors during a shutdown, whose signal may have gone to
    the workers too.
    """
    granian = logging.getLogger("_granian")
    granian.handlers = []
    granian.propagate = True
    granian.setLevel(logging.ERROR)
    granian.addFilter(lambda _: not shutdown.is_draining)


def configure_malloc() -> None:
    """Let glibc return blocks of 256 KiB and more to the system as soon as they are freed, here and in the workers.

    By default it keeps the memory of a decoded picture for the thread that decoded it, and there are many threads.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_MMAP_THRESHOLD, 256 * 1024)


def raise_open_file_limit() -> None:
    """Allow as many open files as the system permits: each connection is one, and the default is often 1024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # macOS refuses its own maximum
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def resolve_free_address(host: str, port: int) -> str:
    """Return the IP address of this host; exit with one line if it can't be bound.

    Granian would share the port with a server that is already running.
    """
    try:
        family, kind, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
        return str(address[0])
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "no such host"
        sys.exit(f"HOST, PORT: cannot bind to {host}:{port} ({reason}). For example: 127.0.0.1 and 8001")
