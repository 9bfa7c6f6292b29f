"""Logins and registrations beside what bcrypt and Pillow alone do on all cores, and reads meanwhile.

`python -m bench.logins`. bcrypt's cost is 12, as by default, and all limits are on.
"""

from __future__ import annotations

import json
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from io import BytesIO
from itertools import count
from pathlib import Path
from statistics import linear_regression, median, quantiles

import bcrypt
from PIL import Image, ImageOps

from api.pictures import DOUBLE, NORMAL
from tests.server import Server

from .connection import Connection
from .findings import Finding
from .pictures import encoded, photo
from .processes import CORES, Failed, run_part

ROUNDS, SECONDS = 5, 4.0
# Enough that no worker ever waits for its next client, however the kernel shares out their connections.
CLIENTS = 16
# More than the workers and their queues take.
CROWD = 250
COST = 12
ACCOUNT = {"username": "Anna", "email": "anna@example.com", "password": "correct horse"}
LOGIN = json.dumps({"username": "Anna", "password": "correct horse"}).encode()
JSON = {"Content_Type": "application/json"}
BOUNDARY = "a-boundary-that-is-in-no-picture"
# Something to be done again and again.
Deed = Callable[[], object]


def each_second(deeds: Sequence[Deed], seconds: float) -> float:
    """How many deeds are done in a second, each of them by a thread of its own, again and again.

    The slope of the line through the moments at which they were done: what was not done when the time was over, and
    what is done at one moment with something else, then makes no difference.
    """
    end = time.perf_counter() + seconds
    done: list[float] = []

    def work(deed: Deed) -> None:
        while time.perf_counter() < end:
            deed()
            done.append(time.perf_counter())

    with ThreadPoolExecutor(len(deeds)) as pool:
        list(pool.map(work, deeds))
    moments = sorted(moment for moment in done if moment <= end)
    return linear_regression(moments, range(len(moments))).slope


def expect(status: int, answer: tuple[int, bytes, bytes]) -> None:
    """Raise `Failed` for another status."""
    if answer[0] != status:
        raise Failed(f"the server answers {answer[0]} and not {status}: {answer[2][:200].decode(errors='replace')}")


def log_in(connection: Connection) -> None:
    """One login."""
    expect(200, connection.send("POST", "/user/login", LOGIN, **JSON))


def timed(deed: Deed) -> float:
    """How many seconds it takes."""
    begun = time.perf_counter()
    deed()
    return time.perf_counter() - begun


def compared(what: str, ours: Sequence[Deed], raw: Sequence[Deed], goal: float) -> list[Finding]:
    """The rate of ours beside that of the raw deed on all cores, taking turns."""
    rates = [(each_second(raw, SECONDS), each_second(ours, SECONDS)) for _ in range(ROUNDS)]
    our, one = (median(column) for column in zip(*((our, one) for one, our in rates), strict=True))
    note = f"{our:.2f} a second, and raw {one:.2f}"
    return [Finding(what, [our / one for one, our in rates], "x", goal, at_least=True, note=note)]


def logins(url: str) -> list[Finding]:
    """Logins beside raw checks of a password, as many at a time as there are cores."""
    known = bcrypt.hashpw(b"correct horse", bcrypt.gensalt(COST))
    raw = [partial(bcrypt.checkpw, b"correct horse", known)] * len(CORES)
    with ExitStack() as stack:
        ours = [partial(log_in, stack.enter_context(Connection(url))) for _ in range(CLIENTS)]
        return compared("logins / raw bcrypt", ours, raw, 0.95)


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
    sender = threading.Thread(target=far.sendall, args=[body])
    sender.start()
    received = bytearray(len(body))
    place = 0
    while place < len(body):
        place += near.recv_into(memoryview(received)[place:])
    sender.join()
    begin = received.index(b"\r\n\r\n", received.index(b'name="file"')) + 4
    picture = bytes(memoryview(received)[begin : received.index(f"\r\n--{BOUNDARY}".encode(), begin)])
    with Image.open(BytesIO(picture)) as image:
        image.draft("RGB", DOUBLE)
        upright = ImageOps.exif_transpose(image)
    for size in (DOUBLE, NORMAL):
        upright.thumbnail(size)
        upright.save(BytesIO(), "WEBP", quality=80)
    bcrypt.hashpw(b"correct horse", bcrypt.gensalt(COST))


def registrations(url: str) -> list[Finding]:
    """Registrations with a photo beside the least that they take: one alone, and as many as all cores do."""
    picture = encoded(photo((4000, 3000)), "JPEG", quality=90)
    numbers, body = count(1), upload(0, picture)
    with ExitStack() as stack:
        raw: list[Deed] = []
        for _ in CORES:
            near, far = (stack.enter_context(end) for end in socket.socketpair())
            raw.append(partial(register_raw, near, far, body))
        ours = [partial(register, stack.enter_context(Connection(url)), numbers, picture) for _ in range(CLIENTS)]
        size = f"{len(picture) / 1e6:.1f} MB"
        found = compared(f"registrations with a 12-megapixel photo ({size}) / raw", ours, raw, 0.85)
        pairs = [(timed(raw[0]), timed(ours[0])) for _ in range(ROUNDS * 2)]
        note = (
            f"{median(our for _, our in pairs) * 1000:.0f} ms, and raw {median(one for one, _ in pairs) * 1000:.0f} ms"
        )
        found.append(Finding("raw / one registration alone", [one / our for one, our in pairs], "x", note=note))
    return found


def reads(url: str) -> list[Finding]:
    """How long reads take while many log in, after each other by one client."""
    paths = {"list of 20 dogs": "/api/v1/dogs?limit=20", "one dog": "/api/v1/dogs/1"}
    end = time.perf_counter() + 2 * SECONDS
    times: dict[str, list[float]] = {name: [] for name in paths}

    def read() -> None:
        with Connection(url) as connection:
            time.sleep(1)  # until those who log in are there
            while time.perf_counter() < end:
                for name, path in paths.items():
                    times[name].append(connection.seconds(path) * 1000)

    def log_in_again_and_again() -> int:
        done = 0
        with Connection(url) as connection:
            while time.perf_counter() < end:
                log_in(connection)
                done += 1
        return done

    with ThreadPoolExecutor(CLIENTS + 1) as pool:
        reading = pool.submit(read)
        done = sum(each.result() for each in [pool.submit(log_in_again_and_again) for _ in range(CLIENTS)])
        reading.result()
    note = f"of {sum(map(len, times.values())):,} reads, beside {done} logins"
    found = []
    for name, taken in times.items():
        found.append(Finding(f"{name}, while {CLIENTS} clients log in: median", [median(taken)], " ms", 10))
        found.append(Finding(f"{name}: 99th percentile", [quantiles(taken, n=100)[98]], " ms", 50, note=note))
    return found


def crowd(url: str) -> list[Finding]:
    """What a crowd of logins is answered at one moment: 200, or 503 with the seconds to wait."""
    together = threading.Barrier(CROWD)

    def come(_: int) -> str:
        with Connection(url) as connection:
            together.wait()
            status, head, _ = connection.send("POST", "/user/login", LOGIN, **JSON)
        return f"{status}" + (" with Retry-After" if b"\r\nretry-after: " in head.lower() else "")

    with ThreadPoolExecutor(CROWD) as pool:
        answers = Counter(pool.map(come, range(CROWD)))
    others = sum(number for answer, number in answers.items() if answer not in ("200", "503 with Retry-After"))
    note = ", ".join(f"{number} times {answer}" for answer, number in sorted(answers.items()))
    if "503 with Retry-After" not in answers:
        others = CROWD
    what = f"{CROWD} logins at one moment: answers that are neither 200 nor 503 with Retry-After"
    return [Finding(what, [others], goal=0, note=note)]


def measure(say: Callable[[Finding], None]) -> list[Finding]:
    """All of it, on a server with its default number of workers."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {"BCRYPT_LOG_ROUNDS": str(COST), "WEB_CONCURRENCY": "", "TRUSTED_PROXIES": "1"}
        with Server(Path(folder) / "server", **settings) as server:
            with Connection(server.url) as client:
                _, head, _ = client.send("POST", "/user/register", json.dumps(ACCOUNT).encode(), **JSON)
                cookie = head.partition(b"set-cookie: ")[2].partition(b";")[0].decode()
                for number in range(20):
                    dog = json.dumps({"name": f"Dog {number}", "breed": "Beagle"}).encode()
                    expect(201, client.send("POST", "/api/v1/dogs", dog, Cookie=cookie, **JSON))
            found = []
            for part in (logins, registrations, reads, crowd):
                for finding in part(server.url):
                    say(finding)
                    found.append(finding)
    return found


def main() -> None:
    """Print what was found."""
    measure(lambda finding: print(finding, flush=True))


if __name__ == "__main__":
    run_part(main)
