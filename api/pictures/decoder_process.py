"""The decoder process: renders one upload after the other, within limits of memory and CPU time.

`api.pictures.decoder` starts it and talks to it over a socket. A file that makes a decoder crash, hang or take too much
memory ends this process, and nothing else.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import warnings
from multiprocessing.connection import Connection
from pathlib import Path

import pillow_heif
from PIL import AvifImagePlugin, Image, PngImagePlugin

from .decode import MAX_PROFILE, InvalidImage
from .render import render

# Address space beyond that of the idle process.
MAX_MEMORY_BYTES = 400 << 20
MAX_CPU_SECONDS = 5


def main(descriptor: int) -> None:
    """Answer requests until the other end of the socket is closed.

    A request is a file. The answer is an object in JSON, with `error` or with `width` and `height`, and then the normal
    and the double size as WebP files; the latter may be empty.
    """
    connection = Connection(descriptor)
    configure_pillow()
    limit_resources()
    connection.send_bytes(b"ready")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libraries in C print there
    while True:
        try:
            data = connection.recv_bytes()
        except EOFError:
            return
        limit_cpu_time()
        try:
            picture = render(data)
        except InvalidImage as error:
            connection.send_bytes(json.dumps({"error": str(error)}).encode())
            continue
        connection.send_bytes(json.dumps({"width": picture.width, "height": picture.height}).encode())
        connection.send_bytes(picture.normal)
        connection.send_bytes(picture.double or b"")


def configure_pillow() -> None:
    """Add HEIC, and leave the limits to `decode.check_size` and to this process."""
    warnings.simplefilter("ignore")  # Pillow warns about oddities of files
    Image.MAX_IMAGE_PIXELS = None
    PngImagePlugin.MAX_TEXT_CHUNK = MAX_PROFILE  # a colour profile is decompressed as a text is
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    pillow_heif.register_heif_opener(thumbnails=False, decode_threads=1)


def limit_resources() -> None:
    """Limit the address space (on Linux), and forbid to write files."""
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MAX_MEMORY_BYTES,) * 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def limit_cpu_time() -> None:
    """End this process by SIGXCPU after `MAX_CPU_SECONDS` more."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + 1 + MAX_CPU_SECONDS, hard))


if __name__ == "__main__":
    main(int(sys.argv[1]))
