"""The picture storage: save, read, delete and prune the files of profile pictures, in a directory or on S3."""

from __future__ import annotations

import errno
import logging
import re
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import BinaryIO

from flask import Flask

from models import Picture
from models.db.file_lock import exclusive_lock

from ..config import environment
from ..http.app_state import AppState
from ..http.concurrency import BUSY, MAX_WAIT_SECONDS, limiters
from ..http.errors import DISK_FULL_MESSAGE, StorageFull, StorageUnavailable, Unavailable
from ..observability.metrics import time_picture
from .decoder import decoder
from .default import render_avatar
from .local import LocalStorage
from .render import RenderedPicture
from .s3 import S3Storage

log = logging.getLogger("kennel")

FILENAME_PATTERN = re.compile(r"[0-9a-f]{32}(_2x)?\.webp")
# A younger file without a row may belong to a request that is still running.
ORPHAN_GRACE_SECONDS = 3600
STORAGE_UNAVAILABLE = "Picture storage unavailable. Please retry"


class PictureStore:
    """Stores pictures in a directory or a bucket. A file is complete or does not exist, and its name is never reused.

    Methods raise `StorageUnavailable` if the storage fails, and `StorageFull` if it has no space left.
    """

    def __init__(self, files: LocalStorage | S3Storage) -> None:
        self.files = files

    def save(self, rendering: RenderedPicture, is_default: bool) -> Picture:
        """Save a picture durably under a new random name."""
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
            with translate_storage_errors():
                self.files.put(files)
        except BaseException:
            self.delete(picture)
            raise
        return picture

    @contextmanager
    def stored(self, rendering: RenderedPicture, is_default: bool = False) -> Iterator[Picture]:
        """Save the files, then run the block that inserts the row. Delete the files if it raises."""
        picture = self.save(rendering, is_default)
        try:
            yield picture
        except BaseException:
            self.delete(picture)
            raise

    def read(self, name: str) -> bytes | None:
        """Return the content of a picture file, or None if it does not exist."""
        if not FILENAME_PATTERN.fullmatch(name):
            return None
        with translate_storage_errors(), self.reading():
            return self.files.get(name)

    def signed_url(self, name: str, method: str) -> str | None:
        """Return a signed URL of a picture file for this method; None if it does not exist or the storage is local."""
        if not FILENAME_PATTERN.fullmatch(name) or isinstance(self.files, LocalStorage):
            return None
        with translate_storage_errors(), self.reading():
            return self.files.signed_url(name, method)

    def reading(self) -> AbstractContextManager[None]:
        """Limit the threads that wait for a remote storage, so that some remain for other requests."""
        return nullcontext() if isinstance(self.files, LocalStorage) else limiters.get().storage.acquire()

    @property
    def origin(self) -> str:
        """The origin of signed URLs, as in an `Origin` header; empty for local storage."""
        return "" if isinstance(self.files, LocalStorage) else self.files.origin

    def delete(self, picture: Picture | None) -> None:
        """Delete the files of a picture, if given. Errors are logged, not raised: no row names the files any more.

        `prune` deletes what remains.
        """
        if picture:
            try:
                self.files.remove(name for name in picture.files if FILENAME_PATTERN.fullmatch(name))
            except OSError as error:
                log.warning("Failed to delete picture file (%s)", error.strerror)

    def check(self) -> None:
        """Write a file and delete it again. Raises `OSError`. After a crash, `prune` deletes the file."""
        name = f"{secrets.token_hex(16)}.webp"
        self.files.put({name: b"health check"})
        self.files.remove([name])

    def find_orphans(self, named: Iterable[str], older_than: float = ORPHAN_GRACE_SECONDS) -> tuple[list[str], int]:
        """Return the orphaned files, those not in `named` and at least `older_than` seconds old, and how many others
        there are.
        """
        used = set(named)
        cutoff = time.time() - older_than
        with translate_storage_errors():
            # Temporary files begin with a dot. A crash may leave one.
            files = [
                (name, modified)
                for name, modified in self.files.iter_files()
                if FILENAME_PATTERN.fullmatch(name.removeprefix("."))
            ]
        orphans = sorted(name for name, modified in files if name not in used and modified <= cutoff)
        return orphans, len(files) - len(orphans)

    def remove(self, names: list[str]) -> None:
        """Delete these files."""
        if names:
            with translate_storage_errors():
                self.files.remove(names)

    def names(self) -> Iterator[str]:
        """Yield the names of all picture files."""
        with translate_storage_errors():
            yield from (name for name, _ in self.files.iter_files() if FILENAME_PATTERN.fullmatch(name))

    def copy(self, name: str, target: PictureStore) -> bool | None:
        """Copy a file to another storage and verify it. Return False if it was there already, None if it is missing.

        Raises `StorageUnavailable` or `StorageFull`.
        """
        content = self.read(name)
        if content is None or target.read(name) == content:
            return None if content is None else False
        target.put(name, content)
        return True

    def put(self, name: str, content: bytes) -> None:
        """Write a file under this name, and verify it by reading it back. Raises `StorageUnavailable` if it differs."""
        with translate_storage_errors():
            self.files.put({name: content})
        if self.read(name) != content:
            raise StorageUnavailable(f"Verification failed for {name}")


@contextmanager
def translate_storage_errors() -> Iterator[None]:
    """Translate an `OSError` of the storage to `StorageFull` or `StorageUnavailable`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(DISK_FULL_MESSAGE) from error
        raise StorageUnavailable(STORAGE_UNAVAILABLE) from error


def make_store(url: str) -> PictureStore:
    """Return the store for a URL in the form of `UPLOADS_URL`, without opening it. Raises `ConfigError`."""
    return PictureStore(S3Storage(url, environment()) if url.startswith("s3://") else LocalStorage(url))


picture_store = AppState[PictureStore]("pictures")


def init_app(app: Flask) -> None:
    """Configure the store of `UPLOADS_URL`."""
    picture_store.set(app, make_store(app.config["UPLOADS_URL"]))


@contextmanager
def stored_picture(rendering: RenderedPicture | None, username: str) -> Iterator[Picture]:
    """Store this picture, or the default one for the username. Delete its files if the block raises."""
    if rendering is None:
        with limiters.get().cpu.acquire(), time_picture("default"):
            avatar = render_avatar(username)
    with picture_store.get().stored(rendering or avatar, is_default=rendering is None) as picture:
        yield picture


def render_limited(stream: BinaryIO) -> RenderedPicture:
    """Render one upload at a time per machine: the largest take 400 MB. Raises `InvalidImage`, or `Unavailable`."""
    with translate_storage_errors():
        lock_directory = picture_store.get().files.lock_directory
    running = limiters.get()
    with running.uploads.acquire(), ExitStack() as stack:
        try:
            stack.enter_context(exclusive_lock(lock_directory, MAX_WAIT_SECONDS))
        except TimeoutError:
            raise Unavailable(BUSY) from None
        with running.cpu.acquire(), time_picture("upload"):
            return decoder.render(stream.read())
