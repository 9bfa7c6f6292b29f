"""Peak memory of the server during concurrent uploads of the largest pictures: `python -m bench.uploads`."""

from __future__ import annotations

import subprocess
import tempfile
import threading
import time
from io import BytesIO
from pathlib import Path

import requests
from PIL import Image

from tests.live_server import Server

ACCOUNT = {"username": "Anna", "email": "anna@example.com", "password": "correct horse"}
CLIENTS_PER_KIND = 4


def make_largest() -> dict[str, bytes]:
    """Return the picture of each format that takes the most memory to decode."""
    kinds = {
        "PNG": ("RGBA", (8160, 6120), {"compress_level": 1}),
        "JPEG": ("RGB", (8160, 6120), {"progressive": True, "subsampling": 0}),
        "WEBP": ("RGBA", (5000, 4000), {"quality": 10, "method": 0}),
        "AVIF": ("RGBA", (5000, 4000), {"speed": 10}),
    }
    files = {}
    for kind, (mode, size, options) in kinds.items():
        file = BytesIO()
        Image.new(mode, size, (10, 200, 30, 128)[: len(mode)]).save(file, kind, **options)
        files[kind] = file.getvalue()
    return files


def memory_mb(pids: list[str]) -> float:
    """Return the proportional set size of these processes: memory that they share counts once."""
    total = 0
    for pid in pids:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total / 1024


def main() -> None:
    """Measure the peak memory while some clients upload all of them at once, and print it."""
    files = make_largest()
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder) / "server") as server:
        client = requests.Session()
        client.post(f"{server.url}/user/register", json=ACCOUNT, timeout=60)
        cookies = dict(client.cookies)
        assert server.process
        pids = subprocess.check_output(["pgrep", "-g", str(server.process.pid)], text=True).split()
        idle = memory_mb(pids)
        statuses: list[int] = []

        def send(content: bytes) -> None:
            response = requests.put(f"{server.url}/user/picture", cookies=cookies, files={"file": content}, timeout=120)
            statuses.append(response.status_code)

        senders = [
            threading.Thread(target=send, args=[content]) for content in files.values() for _ in range(CLIENTS_PER_KIND)
        ]
        for sender in senders:
            sender.start()
        peak = idle
        while any(sender.is_alive() for sender in senders):
            peak = max(peak, memory_mb(pids))
            time.sleep(0.01)
        print(f"{len(senders)} concurrent uploads: {idle:.0f} MB when idle, at most {peak - idle:.0f} MB above")
        print(f"responses with 200: {statuses.count(200)} of {len(statuses)}")


if __name__ == "__main__":
    main()
