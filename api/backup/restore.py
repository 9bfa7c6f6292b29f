"""Restore a backup: all of it or nothing, after its checksums are verified. `create.py` describes the format."""

from __future__ import annotations

import hashlib
import re
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

import orjson
import peewee

from models import User, migrations
from models.copy_database import (
    CopyError,
    migrate_target,
    open_database,
    require_empty,
    require_known_migrations,
    snapshot,
    unknown_migrations,
)

from ..pictures.store import FILENAME_PATTERN, PictureStore
from ..version import version
from .create import FORMAT_VERSION, MANIFEST, PICTURES, ROWS, BackupSummary, CopyRows

# A manifest is untrusted input, and its version is printed to a terminal.
VERSION_PATTERN = re.compile(r"[0-9A-Za-z.+-]{1,40}")


def restore_backup(path: Path, target: peewee.Database, store: PictureStore, copy: CopyRows) -> BackupSummary:
    """Restore all rows and pictures of a backup, or nothing. Pictures that no row names are skipped.

    Raises `CopyError`, before anything is changed, if the backup is corrupt or was made by a newer version, or if there
    are rows or pictures already; and `OSError`.
    """
    with (
        TemporaryDirectory() as directory,
        open_database(f"sqlite:///{Path(directory, ROWS)}") as rows,
        open_archive(path) as archive,
    ):
        named = archive.extract_rows(rows)
        require_empty_target(target, store)
        with snapshot(rows):
            migrate_target(target, rows)
            with restore_pictures(archive, store, sorted(named - archive.missing)):
                tables = copy(rows, target)
    return BackupSummary(tables, len(named - archive.missing), sorted(archive.missing))


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open and verify an archive. Raises `CopyError` if it is corrupt, and `OSError`."""
    try:
        tar = tarfile.open(path, "r:")  # noqa: SIM115 - closed below
    except (tarfile.TarError, EOFError) as error:
        raise CopyError(f"{path} is corrupt or not a Kennel backup ({error})") from None
    with tar:
        yield Archive(path, tar)


@contextmanager
def restore_pictures(archive: Archive, store: PictureStore, names: list[str]) -> Iterator[None]:
    """Restore these pictures, then run the block that copies their rows. Delete the pictures if it raises."""
    try:
        for name in names:
            store.put(name, archive.read(PICTURES + name))
        yield
    except BaseException:
        with suppress(OSError):
            store.files.remove(names)
        raise


def require_empty_target(target: peewee.Database, store: PictureStore) -> None:
    """Raise `CopyError` if there are rows or pictures."""
    if not isinstance(target, peewee.SqliteDatabase) or Path(target.database).exists():
        require_known_migrations(target)
        require_empty(target)
    if any(True for _ in store.names()):
        raise CopyError("UPLOADS_URL is not empty. Use an empty picture storage")


class Archive:
    """Reads an archive, which is untrusted input: a member that `ArchiveWriter` would not write is an error.

    Raises `CopyError` if the content differs from the manifest, or a newer version made the archive.
    """

    def __init__(self, path: Path, tar: tarfile.TarFile) -> None:
        self.path = path
        self.tar = tar
        try:
            checksums = self.checksums()
            self.load_manifest(orjson.loads(self.read(MANIFEST)))
        except (tarfile.TarError, EOFError, ValueError, TypeError, LookupError, AttributeError):
            raise self.corrupt_error() from None
        del checksums[MANIFEST]
        if checksums != self.expected_checksums or ROWS not in checksums:
            raise self.corrupt_error()

    def corrupt_error(self) -> CopyError:
        """Return the error for an archive that is not as it was written."""
        return CopyError(f"{self.path} is corrupt or not a Kennel backup. Nothing was changed")

    def newer_version_error(self) -> CopyError:
        """Return the error for a backup that only a newer version can restore."""
        maker = f"Kennel {self.version}" if self.version else "a newer version of Kennel"
        return CopyError(f"{self.path} was made by {maker}. Kennel {version()} cannot restore it: use that version")

    def load_manifest(self, manifest: Any) -> None:
        """Set the attributes from the manifest. Raises `CopyError` if a newer version wrote it."""
        self.version = manifest.get("version")  # older versions wrote none
        if self.version is not None and not VERSION_PATTERN.fullmatch(self.version):
            raise ValueError("not a version")
        if manifest["format"] != FORMAT_VERSION:
            raise self.newer_version_error()
        self.migrations = [*manifest["migrations"]]
        self.rows = {**manifest["rows"]}
        self.missing = {*manifest["missing"]}
        self.expected_checksums = {**manifest["sha256"]}

    def checksums(self) -> dict[str, str]:
        """Return the SHA-256 of each member by name. Raises `ValueError` if the file contains anything else."""
        checksums: dict[str, str] = {}
        end = 0
        for member in self.tar:
            if not is_expected(member) or member.name in checksums:
                raise ValueError("unexpected member")
            with self.open(member.name) as content:
                checksums[member.name] = hashlib.file_digest(content, "sha256").hexdigest()  # type: ignore[arg-type]
            end = member.offset_data + member.size
            self.require_zero_padding(end, -member.size % tarfile.BLOCKSIZE)
        self.require_zero_padding(end)
        # The end of the archive: two blocks of zeros, padded to a full record.
        if -(-(end + 2 * tarfile.BLOCKSIZE) // tarfile.RECORDSIZE) * tarfile.RECORDSIZE != self.path.stat().st_size:
            raise ValueError("truncated")
        return checksums

    def require_zero_padding(self, start: int, size: int = -1) -> None:
        """Raise `ValueError` if there is anything but zeros here: between members, or after the last one."""
        with open(self.path, "rb") as file:
            file.seek(start)
            if file.read(size).strip(b"\0"):
                raise ValueError("data between the members")

    def open(self, name: str) -> IO[bytes]:
        """Open a member for reading. Raises `KeyError`."""
        content = self.tar.extractfile(name)
        if content is None:
            raise KeyError(name)
        return content

    def read(self, name: str) -> bytes:
        """Return the content of a member. Raises `KeyError`."""
        with self.open(name) as content:
            return content.read()

    def extract_rows(self, rows: peewee.Database) -> set[str]:
        """Extract the rows to this database, and migrate it. Return the names of the picture files that they use."""
        with self.open(ROWS) as content, open(rows.database, "xb") as file:
            shutil.copyfileobj(content, file)
        try:
            if unknown_migrations(rows):
                raise self.newer_version_error()
            applied = [migration.name for migration in migrations.status(rows) if migration.applied]
            if applied != self.migrations or self.rows != {table: count_rows(rows, table) for table in self.rows}:
                raise self.corrupt_error()
            migrations.upgrade(rows)
            named = {*User.all_picture_files(rows)}
        except peewee.DatabaseError:
            raise self.corrupt_error() from None
        present = {PICTURES + name for name in named - self.missing}
        if (
            not all(map(FILENAME_PATTERN.fullmatch, named))
            or not self.missing <= named
            or not present <= self.expected_checksums.keys()
        ):
            raise self.corrupt_error()
        return named


def is_expected(member: tarfile.TarInfo) -> bool:
    """Return whether the member is a regular file with a name that `ArchiveWriter` writes."""
    is_picture = member.name.startswith(PICTURES) and FILENAME_PATTERN.fullmatch(member.name.removeprefix(PICTURES))
    has_known_name = is_picture or member.name in (ROWS, MANIFEST)
    return bool(has_known_name) and member.type == tarfile.REGTYPE and not member.pax_headers


def count_rows(rows: peewee.Database, table: str) -> int:
    """Return the number of rows in a table, or -1 if it does not exist."""
    if table not in rows.get_tables():
        return -1
    return rows.execute_sql(f'SELECT count(*) FROM "{table}"').fetchone()[0]  # noqa: S608 - a table name
