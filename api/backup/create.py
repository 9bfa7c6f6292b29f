"""Create a backup: database and pictures in one tar archive, for any database engine and picture storage.

The archive contains the rows as a SQLite file (`rows.sqlite`), the files below `pictures/`, and finally
`manifest.json`: the versions of the format and of Kennel, the migrations, the row count of each table, the names of
missing picture files, and the SHA-256 of each file. Without a manifest, a backup is incomplete.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

import orjson
import peewee

from models import User, migrations
from models.copy_database import CopyError, migrate_target, open_database, snapshot
from models.table_rows import TableCopy

from ..pictures.local import fsync_directory
from ..pictures.store import PictureStore
from ..version import version

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
ROWS = "rows.sqlite"
PICTURES = "pictures/"
# Snapshots to try before giving up because pictures are replaced while they are copied.
MAX_SNAPSHOTS = 20

CopyRows = Callable[[peewee.Database, peewee.Database], list[TableCopy]]


@dataclass(frozen=True)
class BackupSummary:
    """A summary of a backup. `missing` are the picture files that accounts name but the storage did not have."""

    tables: list[TableCopy]
    pictures: int
    missing: list[str]


def write_backup(path: Path, source: peewee.Database, store: PictureStore, copy: CopyRows) -> BackupSummary:
    """Write a consistent snapshot of rows and pictures to a new file, which only its owner can read.

    `copy` copies all rows from one database to another, as `copy_rows` does. Raises `CopyError` if the file exists
    already, and `OSError`. The file is complete or does not exist.
    """
    if os.path.lexists(path):
        raise CopyError(f"{path} already exists")
    with TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as directory:
        temp_path, rows = Path(directory, "backup.tar"), Path(directory, ROWS)
        with open(os.open(temp_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as tar:
                backup = ArchiveWriter(tar, store).write(source, rows, copy)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temp_path, path)  # a rename would replace a file that was created meanwhile
        except FileExistsError:
            raise CopyError(f"{path} already exists") from None
    fsync_directory(path.parent)
    return backup


class ArchiveWriter:
    """Writes an archive, and records the SHA-256 of each file in it."""

    def __init__(self, tar: tarfile.TarFile, store: PictureStore) -> None:
        self.tar = tar
        self.store = store
        self.checksums: dict[str, str] = {}

    def write(self, source: peewee.Database, rows: Path, copy: CopyRows) -> BackupSummary:
        """Write pictures, rows and manifest. `rows` is the path of a temporary file for the rows."""
        # Most pictures are copied before the snapshot, so that it does not stay open for that long.
        self.add_pictures([*User.all_picture_files(source)])
        missing: set[str] = set()
        for _ in range(MAX_SNAPSHOTS):
            with snapshot(source):
                named = {*User.all_picture_files(source)}
                missing_before, missing = missing, self.add_pictures(sorted(named))
                # A missing file was replaced after the snapshot, and a new snapshot does not name it. If it does,
                # and the file was missing before that snapshot began, the file is lost.
                if missing <= missing_before:
                    return self.finish(source, rows, copy, len(named), sorted(missing))
        raise CopyError("Pictures are being replaced faster than they can be copied. Retry when there is less traffic")

    def add_pictures(self, names: list[str]) -> set[str]:
        """Add the files that the archive does not contain yet, and return the names of those that are missing."""
        missing = set()
        for name in names:
            if PICTURES + name in self.checksums:
                continue
            content = self.store.read(name)
            if content is None:
                missing.add(name)
            else:
                self.add(PICTURES + name, io.BytesIO(content), len(content))
        return missing

    def finish(
        self, source: peewee.Database, path: Path, copy: CopyRows, named: int, missing: list[str]
    ) -> BackupSummary:
        """Add the rows and the manifest."""
        with open_database(f"sqlite:///{path}") as rows:
            migrate_target(rows, source)
            tables = copy(source, rows)
            applied = [migration.name for migration in migrations.status(rows)]
            rows.execute_sql("PRAGMA journal_mode = DELETE")  # a single file, without a write-ahead log
        with open(path, "rb") as file:
            self.add(ROWS, file, path.stat().st_size)
        manifest = {
            "format": FORMAT_VERSION,
            "version": version(),
            "migrations": applied,
            "rows": {table.table: table.rows for table in tables},
            "missing": missing,
            "sha256": self.checksums,
        }
        content = orjson.dumps(manifest)
        self.add(MANIFEST, io.BytesIO(content), len(content))
        return BackupSummary(tables, named - len(missing), missing)

    def add(self, name: str, content: IO[bytes], size: int) -> None:
        """Add a file, and record its SHA-256."""
        member = tarfile.TarInfo(name)
        member.size, member.mode = size, 0o600
        self.checksums[name] = hashlib.file_digest(content, "sha256").hexdigest()  # type: ignore[arg-type]
        content.seek(0)
        self.tar.addfile(member, content)
