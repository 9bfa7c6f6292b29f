"""A backup: database and pictures in one tar archive, whichever the engine and the place of the pictures.

It holds the rows as a SQLite file (`rows.sqlite`), the files below `pictures/`, and in the end `manifest.json`: the
version of the format and of Kennel, the migrations, the rows of each table, the names of pictures that were missing
already, and the SHA-256 of each file. What has no manifest is no whole backup.
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
from models.copy_database import CopyError, TableCopy, migrate_target, open_database, snapshot

from ..pictures.local import fsync_directory
from ..pictures.store import PictureStore
from ..version import version

FORMAT = 1
MANIFEST = "manifest.json"
ROWS = "rows.sqlite"
PICTURES = "pictures/"
# How often the database is looked at anew because pictures were replaced while they were copied.
ATTEMPTS = 20

CopyRows = Callable[[peewee.Database, peewee.Database], list[TableCopy]]


@dataclass(frozen=True)
class Backup:
    """What a backup holds. `missing` are the files that accounts name, and that were not there to be copied."""

    tables: list[TableCopy]
    pictures: int
    missing: list[str]


def write_backup(path: Path, source: peewee.Database, store: PictureStore, copy: CopyRows) -> Backup:
    """Write rows and pictures, as they are at one moment, into a new file that its owner alone can read.

    `copy` copies all rows from one database to another, as `copy_rows` does.
    Raises `CopyError` where the file is there already, and `OSError`. The file is whole, or it is not there.
    """
    if os.path.lexists(path):
        raise CopyError(f"{path} is there already. Name a new file")
    with TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        aside, rows = Path(folder, "backup.tar"), Path(folder, ROWS)
        with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as tar:
                backup = ArchiveWriter(tar, store).write(source, rows, copy)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(aside, path)  # a rename would replace what somebody else has put there meanwhile
        except FileExistsError:
            raise CopyError(f"{path} is there already. Name a new file") from None
    fsync_directory(path.parent)
    return backup


class ArchiveWriter:
    """Writes an archive, and keeps account of what is in it."""

    def __init__(self, tar: tarfile.TarFile, store: PictureStore) -> None:
        self.tar = tar
        self.store = store
        self.members: dict[str, str] = {}

    def write(self, source: peewee.Database, rows: Path, copy: CopyRows) -> Backup:
        """Write all of it. `rows` is where the file of the rows may be made."""
        # Most pictures go before the snapshot, which is not to stay open for as long as they take.
        self.add_pictures([*User.all_picture_files(source)])
        missing: set[str] = set()
        for _ in range(ATTEMPTS):
            with snapshot(source):
                named = {*User.all_picture_files(source)}
                missing_before, missing = missing, self.add_pictures(sorted(named))
                # What is missing was replaced after the snapshot, and a new one no longer names it. If it does,
                # and it was missing before that one began, then it is missing for good.
                if missing <= missing_before:
                    return self.finish(source, rows, copy, len(named), sorted(missing))
        raise CopyError("Pictures are replaced faster than they can be copied. Try again when there is less to do")

    def add_pictures(self, names: list[str]) -> set[str]:
        """Add the files that are not in it yet, and return the names of those that are not there."""
        missing = set()
        for name in names:
            if PICTURES + name in self.members:
                continue
            content = self.store.read(name)
            if content is None:
                missing.add(name)
            else:
                self.add(PICTURES + name, io.BytesIO(content), len(content))
        return missing

    def finish(self, source: peewee.Database, path: Path, copy: CopyRows, named: int, missing: list[str]) -> Backup:
        """Add the rows and the manifest."""
        with open_database(f"sqlite:///{path}") as rows:
            migrate_target(rows, source)
            tables = copy(source, rows)
            applied = [migration.name for migration in migrations.status(rows)]
            rows.execute_sql("PRAGMA journal_mode = DELETE")  # all of it into the one file
        with open(path, "rb") as file:
            self.add(ROWS, file, path.stat().st_size)
        manifest = {
            "format": FORMAT,
            "version": version(),
            "migrations": applied,
            "rows": {table.table: table.rows for table in tables},
            "missing": missing,
            "sha256": self.members,
        }
        content = orjson.dumps(manifest)
        self.add(MANIFEST, io.BytesIO(content), len(content))
        return Backup(tables, named - len(missing), missing)

    def add(self, name: str, content: IO[bytes], size: int) -> None:
        """Add a file."""
        member = tarfile.TarInfo(name)
        member.size, member.mode = size, 0o600
        self.members[name] = hashlib.file_digest(content, "sha256").hexdigest()  # type: ignore[arg-type]
        content.seek(0)
        self.tar.addfile(member, content)
