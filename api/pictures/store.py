"""Where pictures are kept: in a folder, or in a bucket of a store that speaks S3."""

from __future__ import annotations

import errno
import logging
import re
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import BinaryIO

from flask import Flask
from PIL import Image

from models import Picture
from models.db.file_lock import exclusive_lock

from ..config import environment
from ..http.app_state import AppState
from ..http.concurrency import limiters
from ..http.errors import DISK_FULL_MESSAGE, StorageFull, StorageUnavailable
from ..observability.metrics import time_picture
from .default import render_avatar
from .local import LocalStorage
from .render import RenderedPicture, render
from .s3 import S3Storage

log = logging.getLogger("kennel")

FILENAME_PATTERN = re.compile(r"[0-9a-f]{32}(_2x)?\.webp")
# A file that no row names may belong to a request that is still under way; after this many seconds it does not.
ORPHAN_GRACE_SECONDS = 3600
NOT_STORED = "Pictures can't be stored right now. Try again in a moment"
NOT_READ = "This picture can't be read right now. Try again in a moment"


class PictureStore:
    """Pictures in a folder or a bucket. A file is there whole or not at all, under a name that was never used before.

    Where the place of the pictures fails, `StorageUnavailable` is raised, and `StorageFull` where it has no room.
    """

    def __init__(self, files: LocalStorage | S3Storage) -> None:
        self.files = files

    def save(self, rendering: RenderedPicture, is_default: bool) -> Picture:
        """Keep a picture, there for good when this returns."""
        picture = Picture(
            image=f"{secrets.token_hex(16)}.webp",
            width=rendering.width,
            height=rendering.height,
            has_double=rendering.double is not None,
            is_default=is_default,
        )
        files = {picture.image: rendering.normal}
        if picture.double and rendering.double:
            files[picture.double] = rendering.double
        try:
            with translate_storage_errors(NOT_STORED):
                self.files.put(files)
        except BaseException:
            self.delete(picture)
            raise
        return picture

    @contextmanager
    def stored(self, rendering: RenderedPicture, is_default: bool = False) -> Iterator[Picture]:
        """Keep a picture if the block succeeds: files before the row that names them, and none without it."""
        picture = self.save(rendering, is_default)
        try:
            yield picture
        except BaseException:
            self.delete(picture)
            raise

    def read(self, name: str) -> bytes | None:
        """The content of a picture's file, or None where there is none of this name."""
        if not FILENAME_PATTERN.fullmatch(name):
            return None
        with translate_storage_errors(NOT_READ), self.reading():
            return self.files.get(name)

    def signed_url(self, name: str, method: str) -> str | None:
        """A URL for this method that a picture's file can be read by for a while, or None where there is none."""
        if not FILENAME_PATTERN.fullmatch(name) or isinstance(self.files, LocalStorage):
            return None
        with translate_storage_errors(NOT_READ), self.reading():
            return self.files.signed_url(name, method)

    def reading(self) -> AbstractContextManager[None]:
        """What a read is done within: threads that wait for a store elsewhere leave some to all other requests."""
        return nullcontext() if isinstance(self.files, LocalStorage) else limiters.get().storage.acquire()

    @property
    def origin(self) -> str:
        """The origin that `link` leads to, as browsers write it; a folder has none."""
        return "" if isinstance(self.files, LocalStorage) else self.files.origin

    def delete(self, picture: Picture | None) -> None:
        """Remove a picture's files, where there is one. What can't be removed now is left to `prune`.

        No row names them any more, so this is no reason to fail.
        """
        if picture:
            try:
                self.files.remove(picture.files)
            except OSError as error:
                log.warning("A picture's file could not be removed (%s)", error.strerror)

    def check(self) -> None:
        """Keep a file and remove it again. Raises what stands in the way; what a crash leaves of it, `prune` sweeps."""
        name = f"{secrets.token_hex(16)}.webp"
        self.files.put({name: b"A check whether pictures can be stored."})
        self.files.remove([name])

    def prune(self, named: Iterable[str], older_than: float = ORPHAN_GRACE_SECONDS) -> list[str]:
        """Remove the files of ours that are not among `named` and are so many seconds old; return their names."""
        keep = set(named)
        oldest = time.time() - older_than
        with translate_storage_errors(NOT_READ):
            useless = [
                name
                for name, written in self.files.iter_files()
                # What a crash leaves of writing a file begins with a dot.
                if FILENAME_PATTERN.fullmatch(name.removeprefix(".")) and name not in keep and written <= oldest
            ]
            if useless:
                self.files.remove(useless)
        return sorted(useless)

    def names(self) -> Iterator[str]:
        """The names of all pictures' files."""
        with translate_storage_errors(NOT_READ):
            yield from (name for name, _ in self.files.iter_files() if FILENAME_PATTERN.fullmatch(name))

    def copy(self, name: str, to: PictureStore) -> bool | None:
        """Copy a file, and read it back. False where it is there already, None where there is none to copy.

        Raises as `put` does.
        """
        content = self.read(name)
        if content is None or to.read(name) == content:
            return None if content is None else False
        to.put(name, content)
        return True

    def put(self, name: str, content: bytes) -> None:
        """Keep a file that has a name already, and read it back.

        Raises `StorageUnavailable` also where what is read back is something else.
        """
        with translate_storage_errors(NOT_STORED):
            self.files.put({name: content})
        if self.read(name) != content:
            raise StorageUnavailable(f"{name} is not the same when it is read back")


@contextmanager
def translate_storage_errors(message: str) -> Iterator[None]:
    """Turn an `OSError` of the storage into `StorageFull`, or `StorageUnavailable` with this message."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(DISK_FULL_MESSAGE) from error
        raise StorageUnavailable(message) from error


def make_store(url: str) -> PictureStore:
    """The store of this URL, as `UPLOADS_URL` takes it. Opens nothing. Raises `ConfigError`."""
    return PictureStore(S3Storage(url, environment()) if url.startswith("s3://") else LocalStorage(url))


picture_store = AppState[PictureStore]("pictures")


def init_app(app: Flask) -> None:
    """Store pictures where `UPLOADS_URL` says.

    `decode.check_size` limits the pixels by format. Pillow's own check is turned off: it warns before it raises, and a
    warning can't be caught in a single thread.
    """
    Image.MAX_IMAGE_PIXELS = None
    picture_store.set(app, make_store(app.config["UPLOADS_URL"]))


@contextmanager
def stored_picture(rendering: RenderedPicture | None, username: str) -> Iterator[Picture]:
    """Store this picture, or the default one of this name, and delete its files if the block raises."""
    if rendering is None:
        with limiters.get().cpu.acquire(), time_picture("default"):
            avatar = render_avatar(username)
    with picture_store.get().stored(rendering or avatar, is_default=rendering is None) as picture:
        yield picture


def render_limited(stream: BinaryIO) -> RenderedPicture:
    """Call `render` for one upload at a time per machine: the largest take 350 MB."""
    with translate_storage_errors(NOT_STORED):
        lock_directory = picture_store.get().files.lock_directory
    running = limiters.get()
    with running.uploads.acquire(), exclusive_lock(lock_directory), running.cpu.acquire(), time_picture("upload"):
        return render(stream)
