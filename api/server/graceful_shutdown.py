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
SECONDS = 0.5

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


class Farewell:
    """What the process that starts the workers tells them all: a pipe that it closes."""

    def __init__(self) -> None:
        self.told: int | None = None
        self.tell: int | None = None
        self.has_begun = False

    def prepare(self) -> None:
        """Open the pipe. The workers are forks of this process, and take over its other end."""
        self.told, self.tell = os.pipe()
        os.register_at_fork(after_in_child=self.close)

    def begin(self) -> bool:
        """Tell all workers to take leave. Returns False where they were told before."""
        if self.has_begun:
            return False
        self.has_begun = True
        self.close()
        return True

    def close(self) -> None:
        """Close this process' end of the pipe; who reads from the other one is told when nobody has this one open."""
        if self.tell is not None:
            os.close(self.tell)
            self.tell = None

    def wait(self, told: int) -> None:
        """Wait until this worker is told to take leave, and do so."""
        os.read(told, 1)
        self.has_begun = True
        refuse_connections()

    def ask_to_close(self, response: Response) -> Response:
        """Ask the client to close its connection, if it is time (RFC 9112, section 9.6)."""
        if self.has_begun:
            response.headers["Connection"] = "close"
        return response


# The one of this process and of those that are forked from it.
farewell = Farewell()


def init_app(app: Flask) -> None:
    """Take leave when this process is told to, if it is a worker that can be told."""
    if farewell.told is not None:
        threading.Thread(target=farewell.wait, args=(farewell.told,), name="farewell", daemon=True).start()
        app.after_request(farewell.ask_to_close)


def refuse_connections() -> None:
    """Let no new connections be made to this process, while those that are there go on. Linux alone can."""
    program = ctypes.create_string_buffer(NO_NEW_CONNECTIONS)
    described = struct.pack("HP", len(NO_NEW_CONNECTIONS) // 8, ctypes.addressof(program))
    with suppress(OSError):
        for name in os.listdir("/proc/self/fd"):
            with suppress(OSError):  # the list's own handle is closed by now
                attach(int(name), described)


def attach(handle: int, program: bytes) -> None:
    """Attach a filter to this socket, if it is one that listens."""
    if not stat.S_ISSOCK(os.fstat(handle).st_mode):
        return
    with socket.socket(fileno=os.dup(handle)) as found:
        if found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            found.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
