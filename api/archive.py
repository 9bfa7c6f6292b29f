"""A backup: database and pictures in one tar archive, whichever the engine and the place of the pictures.

It holds the rows as a SQLite file (`rows.sqlite`), the files below `pictures/`, and in the end `manifest.json`: the
format's version, the migrations, the rows of each table, the names of pictures that were missing already, and the
SHA-256 of each file. What has no manifest is no whole backup.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

import orjson
import peewee

from models import User, migrations
from models.transfer import Moved, Refused, opened, prepare, require_empty, require_known, snapshot

from .folder import sync
from .storage import NAME, PictureStore

FORMAT = 1
MANIFEST = "manifest.json"
ROWS = "rows.sqlite"
PICTURES = "pictures/"
# How often the database is looked at anew because pictures were replaced while they were copied.
ATTEMPTS = 20

Copy = Callable[[peewee.Database, peewee.Database], list[Moved]]


@dataclass(frozen=True)
class Backup:
    """What a backup holds. `missing` are the files that accounts name, and that were not there to be copied."""

    tables: list[Moved]
    pictures: int
    missing: list[str]


# --- Write ---


def write_backup(path: Path, source: peewee.Database, store: PictureStore, copy: Copy) -> Backup:
    """Write rows and pictures, as they are at one moment, into a new file that its owner alone can read.

    `copy` copies all rows from one database to another, as `copy_rows` does.
    Raises `Refused` where the file is there already, and `OSError`. The file is whole, or it is not there.
    """
    if os.path.lexists(path):
        raise Refused(f"{path} is there already. Name a new file")
    with TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        aside, rows = Path(folder, "backup.tar"), Path(folder, ROWS)
        with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as tar:
                backup = Writer(tar, store).write(source, rows, copy)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(aside, path)  # a rename would replace what somebody else has put there meanwhile
        except FileExistsError:
            raise Refused(f"{path} is there already. Name a new file") from None
    sync(path.parent)
    return backup


class Writer:
    """Writes an archive, and keeps account of what is in it."""

    def __init__(self, tar: tarfile.TarFile, store: PictureStore) -> None:
        self.tar = tar
        self.store = store
        self.members: dict[str, str] = {}

    def write(self, source: peewee.Database, rows: Path, copy: Copy) -> Backup:
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
        raise Refused("Pictures are replaced faster than they can be copied. Try again when there is less to do")

    def add_pictures(self, names: list[str]) -> set[str]:
        """Add the files that are not in it yet, and return the names of those that are not there."""
        missing = set()
        for name in names:
            if PICTURES + name in self.members:
                continue
            content = self.store.open(name)
            if content is None:
                missing.add(name)
            else:
                self.add(PICTURES + name, io.BytesIO(content), len(content))
        return missing

    def finish(self, source: peewee.Database, path: Path, copy: Copy, named: int, missing: list[str]) -> Backup:
        """Add the rows and the manifest."""
        with opened(f"sqlite:///{path}") as rows:
            prepare(rows, source)
            tables = copy(source, rows)
            applied = [migration.name for migration in migrations.status(rows)]
            rows.execute_sql("PRAGMA journal_mode = DELETE")  # all of it into the one file
        with open(path, "rb") as file:
            self.add(ROWS, file, path.stat().st_size)
        manifest = {
            "format": FORMAT,
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


# --- Read ---


def restore_backup(path: Path, target: peewee.Database, store: PictureStore, copy: Copy) -> Backup:
    """Bring rows and pictures back from a backup, all or none. Pictures that its rows do not name are left out.

    Raises `Refused`, before anything is changed, where the backup is not whole, or was made by a newer version, or
    where there are rows or pictures already; and `OSError`.
    """
    with (
        TemporaryDirectory() as folder,
        opened(f"sqlite:///{Path(folder, ROWS)}") as rows,
        whole_archive(path) as archive,
    ):
        named = archive.named_pictures(rows)
        require_room(target, store)
        with snapshot(rows):
            prepare(target, rows)
            with put_back(archive, store, sorted(named - archive.missing)):
                tables = copy(rows, target)
    return Backup(tables, len(named - archive.missing), sorted(archive.missing))


@contextmanager
def whole_archive(path: Path) -> Iterator[Archive]:
    """The archive in this file, all of it checked. Raises `Refused` where it is not whole, and `OSError`."""
    try:
        tar = tarfile.open(path, "r:")  # noqa: SIM115 - it is closed below
    except (tarfile.TarError, EOFError) as error:
        raise Refused(f"{path} is no backup of Kennel ({error})") from None
    with tar:
        yield Archive(path, tar)


@contextmanager
def put_back(archive: Archive, store: PictureStore, names: list[str]) -> Iterator[None]:
    """Bring these pictures back if the block succeeds: files before the rows that name them, and none without them."""
    try:
        for name in names:
            store.put(name, archive.read(PICTURES + name))
        yield
    except BaseException:
        with suppress(OSError):
            store.files.remove(names)
        raise


def require_room(target: peewee.Database, store: PictureStore) -> None:
    """Raise `Refused` where there are rows or pictures."""
    if not isinstance(target, peewee.SqliteDatabase) or Path(target.database).exists():
        require_known(target)
        require_empty(target)
    if any(True for _ in store.names()):
        raise Refused("There are pictures already where UPLOADS_URL says. Name an empty place")


class Archive:
    """An archive that is read. It is nothing to be trusted: its members have the names that we give, or it is refused.

    Raises `Refused` where any of it is not what its manifest says, or where a newer version made it.
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

    def damaged(self) -> Refused:
        """What is said of an archive that is not as it was made."""
        return Refused(f"{self.path} is damaged, or no backup of Kennel. Nothing was changed")

    def take_over(self, manifest: Any) -> None:
        """Take over what the manifest says. Raises `Refused` where it is of a newer version."""
        self.migrations = [*manifest["migrations"]]
        self.rows = {**manifest["rows"]}
        self.missing = {*manifest["missing"]}
        self.promised = {**manifest["sha256"]}
        if manifest["format"] != FORMAT:
            raise Refused(f"{self.path} was made by another version of Kennel. Use that version")

    def sums(self) -> dict[str, str]:
        """The SHA-256 of each member, by its name. Raises `ValueError` where there is anything else in the file."""
        sums: dict[str, str] = {}
        end = 0
        for member in self.tar:
            picture = member.name.startswith(PICTURES) and NAME.fullmatch(member.name.removeprefix(PICTURES))
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
            require_known(rows)
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
