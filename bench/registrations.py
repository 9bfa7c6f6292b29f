"""Registrations with a photo, relative to the minimum of work that bcrypt and Pillow need for them."""

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

from api.pictures.decoder import decoder
from api.pictures.render import SIZE_1X, SIZE_2X

from .closed_loop import CLIENTS, ROUNDS, Operation, compare_rates, expect_status, time_call
from .connection import Connection
from .measurement import Measurement
from .pictures import encode, make_photo
from .processes import CORES

BCRYPT_COST = 12
BOUNDARY = "a-boundary-that-is-in-no-picture"
REGISTRATION_GOAL = 0.85


def build_upload(number: int, picture: bytes) -> bytes:
    """Return the body of a registration with a picture, as multipart/form-data (RFC 7578)."""
    fields = {"username": f"Anna {number}", "email": f"anna{number}@example.com", "password": "correct horse"}
    part = f"--{BOUNDARY}\r\nContent-Disposition: form-data; name="
    texts = "".join(f'{part}"{name}"\r\n\r\n{value}\r\n' for name, value in fields.items())
    file = f'{part}"file"; filename="photo.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    return f"{texts}{file}".encode() + picture + f"\r\n--{BOUNDARY}--\r\n".encode()


def register(connection: Connection, numbers: Iterator[int], picture: bytes) -> None:
    """Register once, from a different client address each time because of the rate limit."""
    number = next(numbers)
    address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    headers = {"Content_Type": f"multipart/form-data; boundary={BOUNDARY}", "X_Forwarded_For": address}
    expect_status(201, connection.request("POST", "/user/register", build_upload(number, picture), **headers))


def register_raw(receiver: socket.socket, sender: socket.socket, body: bytes) -> None:
    """Do the minimum for a registration: receive an upload, encode two WebP files and hash a password.

    Nothing is validated or stored.
    """
    resize_raw(receive_raw(receiver, sender, body))
    hash_raw()


def receive_raw(receiver: socket.socket, sender: socket.socket, body: bytes) -> bytes:
    """Receive an upload over a socket, and return its picture."""
    thread = threading.Thread(target=sender.sendall, args=[body])
    thread.start()
    received = bytearray(len(body))
    size = 0
    while size < len(body):
        size += receiver.recv_into(memoryview(received)[size:])
    thread.join()
    start = received.index(b"\r\n\r\n", received.index(b'name="file"')) + 4
    return bytes(memoryview(received)[start : received.index(f"\r\n--{BOUNDARY}".encode(), start)])


def resize_raw(picture: bytes) -> None:
    """Encode two WebP files of a picture."""
    with Image.open(BytesIO(picture)) as image:
        image.draft("RGB", SIZE_2X)
        upright = ImageOps.exif_transpose(image)
    for size in (SIZE_2X, SIZE_1X):
        upright.thumbnail(size)
        upright.save(BytesIO(), "WEBP", quality=80)


def hash_raw() -> None:
    """Hash a password."""
    bcrypt.hashpw(b"correct horse", bcrypt.gensalt(BCRYPT_COST))


def measure_registrations(url: str) -> list[Measurement]:
    """Measure registrations with a photo relative to the raw work, on all cores and one alone."""
    picture = encode(make_photo((4000, 3000)), "JPEG", quality=90)
    numbers, body = count(1), build_upload(0, picture)
    with ExitStack() as stack:
        sockets = [[stack.enter_context(end) for end in socket.socketpair()] for _ in CORES]
        raw = [partial(register_raw, *ends, body) for ends in sockets]
        ours = [partial(register, stack.enter_context(Connection(url)), numbers, picture) for _ in range(CLIENTS)]
        size = f"{len(picture) / 1e6:.1f} MB"
        name = f"registrations with a 12-megapixel photo ({size}) / raw"
        results = compare_rates(name, ours, raw, REGISTRATION_GOAL)
        pairs = [(time_call(raw[0]), time_call(ours[0])) for _ in range(ROUNDS * 2)]
        raw_times, our_times = zip(*pairs, strict=True)
        ratios = [raw_time / our_time for raw_time, our_time in pairs]
        note = f"{median(our_times) * 1000:.0f} ms, raw {median(raw_times) * 1000:.0f} ms"
        results.append(Measurement("raw / one registration alone", ratios, "x", note=note))
        parts: dict[str, Operation] = {
            "password hash, raw": hash_raw,
            "pictures, raw": partial(resize_raw, picture),
            "pictures, by Kennel with all checks": partial(decoder.render, picture),
            "upload, raw": partial(receive_raw, *sockets[0], body),
        }
        for part, operation in parts.items():
            times = [time_call(operation) * 1000 for _ in range(ROUNDS)]
            results.append(Measurement(f"one registration: {part}", times, " ms"))
    return results
