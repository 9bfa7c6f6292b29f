"""How much memory the whole server takes above idle while the largest pictures are sent side by side."""

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
CLIENTS = 4


def largest() -> dict[str, bytes]:
    """The pictures that take the most memory to read, one of each kind."""
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


def megabytes(processes: list[str]) -> float:
    """The memory of these processes, what they share counted once."""
    total = 0
    for process in processes:
        rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
        total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total / 1024


def main() -> None:
    """Print the peak above idle while some clients send all of them at once."""
    files = largest()
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder) / "server") as server:
        client = requests.Session()
        client.post(f"{server.url}/user/register", json=ACCOUNT, timeout=60)
        cookies = dict(client.cookies)
        assert server.process
        group = subprocess.check_output(["pgrep", "-g", str(server.process.pid)], text=True).split()
        idle = megabytes(group)
        statuses: list[int] = []

        def send(content: bytes) -> None:
            answer = requests.put(f"{server.url}/user/picture", cookies=cookies, files={"file": content}, timeout=120)
            statuses.append(answer.status_code)

        senders = [threading.Thread(target=send, args=[content]) for content in files.values() for _ in range(CLIENTS)]
        for sender in senders:
            sender.start()
        peak = idle
        while any(sender.is_alive() for sender in senders):
            peak = max(peak, megabytes(group))
            time.sleep(0.01)
        print(f"{len(senders)} uploads side by side: idle {idle:.0f} MB, at most {peak - idle:.0f} MB above")
        print(f"answered with 200: {statuses.count(200)} of {len(statuses)}")


if __name__ == "__main__":
    main()
