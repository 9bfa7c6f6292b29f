"""Registrations with a photo, beside the least that bcrypt and Pillow need for them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from io import BytesIO
from itertools import count
from statistics import median

import bcrypt
from PIL import Image, ImageOps

from api.pictures.render import SIZE_1X, SIZE_2X, render

from .closed_loop import CLIENTS, ROUNDS, Deed, compared, expect, timed
from .connection import Connection
from .measurement import Finding
from .pictures import encoded, photo
from .processes import CORES

COST = 12
BOUNDARY = "a-boundary-that-is-in-no-picture"


def upload(number: int, picture: bytes) -> bytes:
    """The body of a registration with a picture, as browsers write it (RFC 7578)."""
    fields = {"username": f"Anna {number}", "email": f"anna{number}@example.com", "password": "correct horse"}
    begin = f"--{BOUNDARY}\r\nContent-Disposition: form-data; name="
    texts = "".join(f'{begin}"{name}"\r\n\r\n{value}\r\n' for name, value in fields.items())
    file = f'{begin}"file"; filename="photo.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    return f"{texts}{file}".encode() + picture + f"\r\n--{BOUNDARY}--\r\n".encode()


def register(connection: Connection, numbers: Iterator[int], picture: bytes) -> None:
    """One registration. Each comes from an address of its own, since so many are not taken from one."""
    number = next(numbers)
    address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    headers = {"Content_Type": f"multipart/form-data; boundary={BOUNDARY}", "X_Forwarded_For": address}
    expect(201, connection.send("POST", "/user/register", upload(number, picture), **headers))


def register_raw(near: socket.socket, far: socket.socket, body: bytes) -> None:
    """The least that a registration takes: an upload comes by a socket, two WebP files are made of it, and a hash.

    Nothing is checked, and nothing is kept.
    """
    shrink_raw(receive_raw(near, far, body))
    hash_raw()


def receive_raw(near: socket.socket, far: socket.socket, body: bytes) -> bytes:
    """The picture of an upload that comes by a socket."""
    sender = threading.Thread(target=far.sendall, args=[body])
    sender.start()
    received = bytearray(len(body))
    place = 0
    while place < len(body):
        place += near.recv_into(memoryview(received)[place:])
    sender.join()
    begin = received.index(b"\r\n\r\n", received.index(b'name="file"')) + 4
    return bytes(memoryview(received)[begin : received.index(f"\r\n--{BOUNDARY}".encode(), begin)])


def shrink_raw(picture: bytes) -> None:
    """Two WebP files of a picture."""
    with Image.open(BytesIO(picture)) as image:
        image.draft("RGB", SIZE_2X)
        upright = ImageOps.exif_transpose(image)
    for size in (SIZE_2X, SIZE_1X):
        upright.thumbnail(size)
        upright.save(BytesIO(), "WEBP", quality=80)


def hash_raw() -> None:
    """A new password's hash."""
    bcrypt.hashpw(b"correct horse", bcrypt.gensalt(COST))


def registrations(url: str) -> list[Finding]:
    """Registrations with a photo beside the least that they take: one alone, and as many as all cores do."""
    picture = encoded(photo((4000, 3000)), "JPEG", quality=90)
    numbers, body = count(1), upload(0, picture)
    with ExitStack() as stack:
        sockets = [[stack.enter_context(end) for end in socket.socketpair()] for _ in CORES]
        raw = [partial(register_raw, *ends, body) for ends in sockets]
        ours = [partial(register, stack.enter_context(Connection(url)), numbers, picture) for _ in range(CLIENTS)]
        size = f"{len(picture) / 1e6:.1f} MB"
        found = compared(f"registrations with a 12-megapixel photo ({size}) / raw", ours, raw, 0.85)
        pairs = [(timed(raw[0]), timed(ours[0])) for _ in range(ROUNDS * 2)]
        note = (
            f"{median(our for _, our in pairs) * 1000:.0f} ms, and raw {median(one for one, _ in pairs) * 1000:.0f} ms"
        )
        found.append(Finding("raw / one registration alone", [one / our for one, our in pairs], "x", note=note))
        # Where its time goes.
        parts: dict[str, Deed] = {
            "the hash of its password, raw": hash_raw,
            "its pictures, raw": partial(shrink_raw, picture),
            "its pictures by Kennel, with all that is checked": partial(render, BytesIO(picture)),
            "its upload, raw": partial(receive_raw, *sockets[0], body),
        }
        for what, deed in parts.items():
            found.append(Finding(f"of one: {what}", [timed(deed) * 1000 for _ in range(ROUNDS)], " ms"))
    return found
