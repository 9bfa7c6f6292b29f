"""Picture files in a local directory."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path


class LocalStorage:
    """Stores files in a directory. Writes are atomic: a file is complete or does not exist."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    @property
    def lock_directory(self) -> Path:
        """The directory, which is created if missing. A lock on it excludes other processes of this machine."""
        self.path.mkdir(parents=True, exist_ok=True)
        return self.path

    def put(self, files: Mapping[str, bytes]) -> None:
        """Write the files durably (fsync of files and directory). On `OSError`, some may have been written."""
        directory = self.lock_directory
        for name, content in files.items():
            self.write(name, content)
        fsync_directory(directory)

    def write(self, name: str, content: bytes) -> None:
        """Write a file under a temporary name, and rename it when it is complete."""
        temp_path = self.path / f".{name}"
        try:
            with open(temp_path, "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temp_path.replace(self.path / name)
        except BaseException:
            temp_path.unlink(missing_ok=True)
            raise

    def get(self, name: str) -> bytes | None:
        """Return the content of a file, or None if it does not exist. Raises `OSError`, also for a symbolic link."""
        try:
            with open(os.open(self.path / name, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def remove(self, names: Iterable[str]) -> None:
        """Remove the files that exist. Tries all of them before it raises `OSError`."""
        failed = None
        for name in names:
            try:
                (self.path / name).unlink(missing_ok=True)
            except OSError as error:
                failed = error
        if failed:
            raise failed

    def iter_files(self) -> Iterator[tuple[str, float]]:
        """Yield the name and modification time, as a Unix time in seconds, of each file. Raises `OSError`."""
        for path in self.path.glob("*.webp"):
            try:
                status = path.lstat()
            except FileNotFoundError:  # removed by another request meanwhile
                continue
            if stat.S_ISREG(status.st_mode):
                yield path.name, status.st_mtime


def fsync_directory(directory: Path) -> None:
    """Flush the entries of a directory to disk, which `fsync` of a file does not do."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
