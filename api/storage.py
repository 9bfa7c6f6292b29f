"""Where pictures are kept: a folder."""

from __future__ import annotations

import logging
import os
import re
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from flask import Flask, current_app
from PIL import Image

from models import Picture
from models.locks import alone_in

from .default_picture import draw_default
from .metrics import picture_timed
from .pictures import Rendering, render
from .slots import slot, upload_slot

log = logging.getLogger("kennel")

NAME = re.compile(r"[0-9a-f]{32}(_2x)?\.webp")
# A file that no row names may belong to a request that is still under way; after this many seconds it does not.
ABANDONED_SECONDS = 3600


class PictureStore:
    """Pictures in a folder. A file is there whole or not at all, and under a name that was never used before."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def save(self, rendering: Rendering, is_default: bool) -> Picture:
        """Keep a picture, on disk for good when this returns."""
        picture = Picture(
            image=f"{secrets.token_hex(16)}.webp",
            width=rendering.width,
            height=rendering.height,
            has_double=rendering.double is not None,
            is_default=is_default,
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self.write(picture.image, rendering.normal)
            if picture.double and rendering.double:
                self.write(picture.double, rendering.double)
            sync(self.folder)
        except BaseException:
            self.delete(picture)
            raise
        return picture

    def write(self, name: str, content: bytes) -> None:
        """Write a file aside, and give it its name when it is whole."""
        aside = self.folder / f".{name}"
        try:
            with open(aside, "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(self.folder / name)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise

    @contextmanager
    def kept(self, rendering: Rendering, is_default: bool = False) -> Iterator[Picture]:
        """Keep a picture if the block succeeds: files before the row that names them, and none without it."""
        picture = self.save(rendering, is_default)
        try:
            yield picture
        except BaseException:
            self.delete(picture)
            raise

    def open(self, name: str) -> bytes | None:
        """The content of a picture's file, or None where there is none of this name."""
        if not NAME.fullmatch(name):
            return None
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def delete(self, picture: Picture | None) -> None:
        """Remove a picture's files, where there is one. What can't be removed now is left to `prune`.

        No row names them any more, so this is no reason to fail.
        """
        for name in picture.files if picture else ():
            try:
                (self.folder / name).unlink(missing_ok=True)
            except OSError as error:
                log.warning("A picture's file could not be removed (%s)", error.strerror)

    def check(self) -> None:
        """Keep a file and remove it again. Raises what stands in the way; what a crash leaves of it, `prune` sweeps."""
        name = f"{secrets.token_hex(16)}.webp"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.write(name, b"A check whether pictures can be stored.")
        (self.folder / name).unlink()

    def prune(self, named: Iterable[str], older_than: float = ABANDONED_SECONDS) -> list[str]:
        """Remove the files of ours that are not among `named` and are so many seconds old; return their names."""
        keep = set(named)
        removed = []
        for path in sorted(self.folder.glob("*.webp")):
            ours = NAME.fullmatch(path.name.removeprefix("."))
            if not ours or path.name in keep or not path.is_file():
                continue
            with suppress(FileNotFoundError):  # somebody else was faster
                if path.stat().st_mtime <= time.time() - older_than:
                    path.unlink()
                    removed.append(path.name)
        return removed


def sync(folder: Path) -> None:
    """Bring a folder's names to the disk, as `fsync` of a file does not."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def init_app(app: Flask) -> None:
    """Keep pictures where `UPLOADS_URL` says.

    `picture_files.check_size` looks at each by its format; Pillow's check is turned off, since it warns first, and a
    warning can't be caught in one thread alone.
    """
    Image.MAX_IMAGE_PIXELS = None
    app.extensions["pictures"] = PictureStore(app.config["UPLOADS_URL"])


def pictures() -> PictureStore:
    """The store of this application."""
    return current_app.extensions["pictures"]


@contextmanager
def kept_picture(rendering: Rendering | None, username: str) -> Iterator[Picture]:
    """Keep this picture, or without one the default of this name, if the block succeeds."""
    if rendering is None:
        with slot(), picture_timed("default"):
            drawn = draw_default(username)
    with pictures().kept(rendering or drawn, is_default=rendering is None) as picture:
        yield picture


def render_in_slot(stream: BinaryIO) -> Rendering:
    """`render`, one upload at a time on a machine: reading the largest takes 350 MB."""
    folder = pictures().folder
    folder.mkdir(parents=True, exist_ok=True)
    with upload_slot(), alone_in(folder), slot(), picture_timed("upload"):
        return render(stream)
