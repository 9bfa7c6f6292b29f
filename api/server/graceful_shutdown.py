"""How a server that is told to stop takes leave of its clients, so that no request is lost.

A server that just closes its connections loses what comes at that moment: a request on a connection that was kept open,
and one on a connection that is as fresh as that the server has not read from it. So for half a second each answer asks
to close its connection, and no new one is made. Then only those are left that nobody uses, and they can be closed.
"""

from __future__ import annotations

import ctypes
import os
import socket
import stat
import struct
import threading
from contextlib import suppress

from flask import Flask, Response

# How long the farewell takes, in seconds.
DRAIN_SECONDS = 0.5

# A filter for a socket that listens. It drops a packet that begins a connection (SYN without ACK, RFC 9293) and passes
# all others, so connections that are being made still are. To the client it is as if the packet was lost: it sends it
# anew after a second, and learns then that nobody listens, or finds the next server.
# In the instructions of Linux' bpf(4): load byte 13 of the TCP header, take SYN and ACK, is it SYN alone? drop : pass.
NO_NEW_CONNECTIONS = b"".join(
    struct.pack("=HBBI", *instruction)
    for instruction in (
        (0x30, 0, 0, 13),
        (0x54, 0, 0, 0x12),
        (0x15, 0, 1, 0x02),
        (0x06, 0, 0, 0),
        (0x06, 0, 0, 1 << 31),
    )
)
SO_ATTACH_FILTER = 26  # of Linux; Python has no name for it


class GracefulShutdown:
    """What the process that starts the workers tells them all: a pipe that it closes."""

    def __init__(self) -> None:
        self.read_fd: int | None = None
        self.write_fd: int | None = None
        self.is_draining = False

    def open_pipe(self) -> None:
        """Open the pipe. The workers are forks of this process, and take over its other end."""
        self.read_fd, self.write_fd = os.pipe()
        os.register_at_fork(after_in_child=self.close)

    def start(self) -> bool:
        """Tell all workers to take leave. Returns False where they were told before."""
        if self.is_draining:
            return False
        self.is_draining = True
        self.close()
        return True

    def close(self) -> None:
        """Close this process' end of the pipe; who reads from the other one is told when nobody has this one open."""
        if self.write_fd is not None:
            os.close(self.write_fd)
            self.write_fd = None

    def wait_for_signal(self, told: int) -> None:
        """Wait until this worker is told to take leave, and do so."""
        os.read(told, 1)
        self.is_draining = True
        stop_accepting_connections()

    def ask_to_close(self, response: Response) -> Response:
        """Ask the client to close its connection, if it is time (RFC 9112, section 9.6)."""
        if self.is_draining:
            response.headers["Connection"] = "close"
        return response


# The one of this process and of those that are forked from it.
shutdown = GracefulShutdown()


def init_app(app: Flask) -> None:
    """Take leave when this process is told to, if it is a worker that can be told."""
    if shutdown.read_fd is not None:
        threading.Thread(
            target=shutdown.wait_for_signal, args=(shutdown.read_fd,), name="farewell", daemon=True
        ).start()
        app.after_request(shutdown.ask_to_close)


def stop_accepting_connections() -> None:
    """Let no new connections be made to this process, while those that are there go on. Linux alone can."""
    program = ctypes.create_string_buffer(NO_NEW_CONNECTIONS)
    described = struct.pack("HP", len(NO_NEW_CONNECTIONS) // 8, ctypes.addressof(program))
    with suppress(OSError):
        for name in os.listdir("/proc/self/fd"):
            with suppress(OSError):  # the list's own handle is closed by now
                attach_bpf_filter(int(name), described)


def attach_bpf_filter(handle: int, program: bytes) -> None:
    """Attach a filter to this socket, if it is one that listens."""
    if not stat.S_ISSOCK(os.fstat(handle).st_mode):
        return
    with socket.socket(fileno=os.dup(handle)) as found:
        if found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            found.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
