"""How a backup comes back: all of it, and only where it is whole. `backup.py` says what it holds."""

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
from .create import FORMAT, MANIFEST, PICTURES, ROWS, Backup, CopyRows

# A manifest is not to be trusted, and its version is shown on a terminal.
VERSION_PATTERN = re.compile(r"[0-9A-Za-z.+-]{1,40}")


def restore_backup(path: Path, target: peewee.Database, store: PictureStore, copy: CopyRows) -> Backup:
    """Bring rows and pictures back from a backup, all or none. Pictures that its rows do not name are left out.

    Raises `CopyError`, before anything is changed, where the backup is not whole, or was made by a newer version, or
    where there are rows or pictures already; and `OSError`.
    """
    with (
        TemporaryDirectory() as folder,
        open_database(f"sqlite:///{Path(folder, ROWS)}") as rows,
        open_archive(path) as archive,
    ):
        named = archive.named_pictures(rows)
        require_empty_target(target, store)
        with snapshot(rows):
            migrate_target(target, rows)
            with restore_pictures(archive, store, sorted(named - archive.missing)):
                tables = copy(rows, target)
    return Backup(tables, len(named - archive.missing), sorted(archive.missing))


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """The archive in this file, all of it checked. Raises `CopyError` where it is not whole, and `OSError`."""
    try:
        tar = tarfile.open(path, "r:")  # noqa: SIM115 - it is closed below
    except (tarfile.TarError, EOFError) as error:
        raise CopyError(f"{path} is no backup of Kennel ({error})") from None
    with tar:
        yield Archive(path, tar)


@contextmanager
def restore_pictures(archive: Archive, store: PictureStore, names: list[str]) -> Iterator[None]:
    """Bring these pictures back if the block succeeds: files before the rows that name them, and none without them."""
    try:
        for name in names:
            store.put(name, archive.read(PICTURES + name))
        yield
    except BaseException:
        with suppress(OSError):
            store.files.remove(names)
        raise


def require_empty_target(target: peewee.Database, store: PictureStore) -> None:
    """Raise `CopyError` where there are rows or pictures."""
    if not isinstance(target, peewee.SqliteDatabase) or Path(target.database).exists():
        require_known_migrations(target)
        require_empty(target)
    if any(True for _ in store.names()):
        raise CopyError("There are pictures already where UPLOADS_URL says. Name an empty place")


class Archive:
    """An archive that is read. It is nothing to be trusted: its members have the names that we give, or it is refused.

    Raises `CopyError` where any of it is not what its manifest says, or where a newer version made it.
    """

    def __init__(self, path: Path, tar: tarfile.TarFile) -> None:
        self.path = path
        self.tar = tar
        try:
            sums = self.sums()
            self.take_over(orjson.loads(self.read(MANIFEST)))
        except (tarfile.TarError, EOFError, ValueError, TypeError, LookupError, AttributeError):
            raise self.damaged() from None
        del sums[MANIFEST]
        if sums != self.promised or ROWS not in sums:
            raise self.damaged()

    def damaged(self) -> CopyError:
        """What is said of an archive that is not as it was made."""
        return CopyError(f"{self.path} is damaged, or no backup of Kennel. Nothing was changed")

    def newer_version_error(self) -> CopyError:
        """Return the error for a backup that only a newer version can restore."""
        maker = f"Kennel {self.version}" if self.version else "a newer version of Kennel"
        return CopyError(f"{self.path} was made by {maker}. Kennel {version()} cannot restore it: use that version")

    def take_over(self, manifest: Any) -> None:
        """Take over what the manifest says. Raises `CopyError` where it is of a newer version."""
        self.version = manifest.get("version")  # older versions wrote none
        if self.version is not None and not VERSION_PATTERN.fullmatch(self.version):
            raise ValueError("not a version")
        if manifest["format"] != FORMAT:
            raise self.newer_version_error()
        self.migrations = [*manifest["migrations"]]
        self.rows = {**manifest["rows"]}
        self.missing = {*manifest["missing"]}
        self.promised = {**manifest["sha256"]}

    def sums(self) -> dict[str, str]:
        """The SHA-256 of each member, by its name. Raises `ValueError` where there is anything else in the file."""
        sums: dict[str, str] = {}
        end = 0
        for member in self.tar:
            picture = member.name.startswith(PICTURES) and FILENAME_PATTERN.fullmatch(
                member.name.removeprefix(PICTURES)
            )
            if not (picture or member.name in (ROWS, MANIFEST)) or member.name in sums or not is_plain(member):
                raise ValueError("a member that is none of ours")
            with self.open(member.name) as content:
                sums[member.name] = hashlib.file_digest(content, "sha256").hexdigest()  # type: ignore[arg-type]
            end = member.offset_data + member.size
            self.require_blank(end, -member.size % tarfile.BLOCKSIZE)
        self.require_blank(end)
        # Two blocks of zeros, and then up to a whole record.
        if -(-(end + 2 * tarfile.BLOCKSIZE) // tarfile.RECORDSIZE) * tarfile.RECORDSIZE != self.path.stat().st_size:
            raise ValueError("its end is missing")
        return sums

    def require_blank(self, start: int, size: int = -1) -> None:
        """Raise `ValueError` where there is anything but zeros here, as between members and after the last."""
        with open(self.path, "rb") as file:
            file.seek(start)
            if file.read(size).strip(b"\0"):
                raise ValueError("something between the members")

    def open(self, name: str) -> IO[bytes]:
        """A member, to read. Raises `KeyError`."""
        content = self.tar.extractfile(name)
        if content is None:
            raise KeyError(name)
        return content

    def read(self, name: str) -> bytes:
        """The content of a member. Raises `KeyError`."""
        with self.open(name) as content:
            return content.read()

    def named_pictures(self, rows: peewee.Database) -> set[str]:
        """Bring the file of the rows here, up to date, and return the names of the pictures that they name."""
        with self.open(ROWS) as content, open(rows.database, "xb") as file:
            shutil.copyfileobj(content, file)
        try:
            if unknown_migrations(rows):
                raise self.newer_version_error()
            applied = [migration.name for migration in migrations.status(rows) if migration.applied]
            if applied != self.migrations or self.rows != {table: count(rows, table) for table in self.rows}:
                raise self.damaged()
            migrations.upgrade(rows)
            named = {*User.all_picture_files(rows)}
        except peewee.DatabaseError:
            raise self.damaged() from None
        if not self.missing <= named or not {PICTURES + name for name in named - self.missing} <= self.promised.keys():
            raise self.damaged()
        return named


def is_plain(member: tarfile.TarInfo) -> bool:
    """Whether it is a file with nothing special to it."""
    return member.type == tarfile.REGTYPE and not member.pax_headers


def count(rows: peewee.Database, table: str) -> int:
    """How many rows a table has. What is no name of a table has none."""
    if table not in rows.get_tables():
        return -1
    return rows.execute_sql(f'SELECT count(*) FROM "{table}"').fetchone()[0]  # noqa: S608 - the name of a table
