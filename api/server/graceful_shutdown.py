"""Graceful shutdown: on SIGTERM the workers drain their connections before they stop, so that no request is lost.

A server that closes all connections immediately loses requests: those being sent on kept-alive connections, and those
on connections that it has not read from yet. So for `DRAIN_SECONDS` every response has `Connection: close`,
`/health/ready` is 503, and new connections are refused. After that, only idle connections are left.
"""

from __future__ import annotations

import os
import threading

from flask import Flask, Response

from .packet_filter import stop_accepting_connections

DRAIN_SECONDS = 0.5


class GracefulShutdown:
    """A pipe that signals shutdown from the main process to all workers: they read EOF once it is closed."""

    def __init__(self) -> None:
        self.read_fd: int | None = None
        self.write_fd: int | None = None
        self.is_draining = False

    def open_pipe(self) -> None:
        """Open the pipe in the main process. Workers are forks, and inherit its read end."""
        self.read_fd, self.write_fd = os.pipe()
        os.register_at_fork(after_in_child=self.close_write_end)

    def close_write_end(self) -> None:
        """Close the write end. Readers get EOF once every copy is closed."""
        if self.write_fd is not None:
            os.close(self.write_fd)
            self.write_fd = None

    def start(self) -> bool:
        """Start draining in all workers. Return False if it has started already."""
        if self.is_draining:
            return False
        self.is_draining = True
        self.close_write_end()
        return True

    def wait_for_signal(self, read_fd: int) -> None:
        """Wait, in a worker, until the main process starts the shutdown. Then drain."""
        os.read(read_fd, 1)
        self.is_draining = True
        stop_accepting_connections()

    def close_connection(self, response: Response) -> Response:
        """Send `Connection: close` while draining (RFC 9112, section 9.6)."""
        if self.is_draining:
            response.headers["Connection"] = "close"
        return response


# Shared by the main process and its forks.
shutdown = GracefulShutdown()


def init_app(app: Flask) -> None:
    """Drain when the main process starts the shutdown, if this process is a worker of one."""
    if shutdown.read_fd is not None:
        threading.Thread(target=shutdown.wait_for_signal, args=(shutdown.read_fd,), name="drain", daemon=True).start()
        app.after_request(shutdown.close_connection)
