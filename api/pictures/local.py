"""Files in a folder of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path


class LocalStorage:
    """A folder that files are kept in. A file is there whole or not at all."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    @property
    def lock_directory(self) -> Path:
        """The folder, which is made where it is missing, for locks among the processes of this machine."""
        self.path.mkdir(parents=True, exist_ok=True)
        return self.path

    def put(self, files: Mapping[str, bytes]) -> None:
        """Keep files, by their names, on disk for good when this returns. Raises `OSError`; some may be there then."""
        folder = self.lock_directory
        for name, content in files.items():
            self.write(name, content)
        fsync_directory(folder)

    def write(self, name: str, content: bytes) -> None:
        """Write a file aside, and give it its name when it is whole."""
        aside = self.path / f".{name}"
        try:
            with open(aside, "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(self.path / name)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise

    def get(self, name: str) -> bytes | None:
        """The content of a file, or None where there is none of this name. Raises `OSError`."""
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            return None

    def remove(self, names: Iterable[str]) -> None:
        """Remove these files, where they are there. Raises `OSError` when all have been tried."""
        failed = None
        for name in names:
            try:
                (self.path / name).unlink(missing_ok=True)
            except OSError as error:
                failed = error
        if failed:
            raise failed

    def iter_files(self) -> Iterator[tuple[str, float]]:
        """The names of the files, and when each was written, in seconds since 1970. Raises `OSError`."""
        for path in self.path.glob("*.webp"):
            try:
                written = path.stat().st_mtime
            except FileNotFoundError:  # somebody has just removed it
                continue
            if path.is_file():
                yield path.name, written


def fsync_directory(folder: Path) -> None:
    """Bring a folder's names to the disk, as `fsync` of a file does not."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
