"""Linux only: refuse new TCP connections on a listening socket while established ones go on.

On other systems the kernel may accept a connection that no worker reads any more, and the client sees it reset.
"""

from __future__ import annotations

import ctypes
import os
import socket
import stat
import struct
from contextlib import suppress

# A classic BPF program (Linux, bpf(4)): drop packets that open a connection (SYN without ACK, RFC 9293) and pass all
# others. To the client the packet seems lost: it retransmits after a second, and is then refused, or reaches the next
# server.
DROP_SYN = b"".join(
    struct.pack("=HBBI", *instruction)
    for instruction in (
        (0x30, 0, 0, 13),  # load byte 13 of the TCP header: its flags
        (0x54, 0, 0, 0x12),  # keep SYN and ACK
        (0x15, 0, 1, 0x02),  # SYN alone?
        (0x06, 0, 0, 0),  # drop
        (0x06, 0, 0, 1 << 31),  # pass
    )
)
SO_ATTACH_FILTER = 26  # Linux; not in the socket module


def stop_accepting_connections() -> None:
    """Refuse new connections to this process. Does nothing on systems other than Linux."""
    program = ctypes.create_string_buffer(DROP_SYN)
    sock_fprog = struct.pack("HP", len(DROP_SYN) // 8, ctypes.addressof(program))
    with suppress(OSError):
        for name in os.listdir("/proc/self/fd"):
            with suppress(OSError):  # the descriptor of the listing itself is closed already
                attach_bpf_filter(int(name), sock_fprog)


def attach_bpf_filter(descriptor: int, sock_fprog: bytes) -> None:
    """Attach the filter to this file descriptor if it is a listening socket."""
    if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
        return
    with socket.socket(fileno=os.dup(descriptor)) as listener:
        if listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, sock_fprog)
