"""`flask --app run backup FILE` and `restore FILE`: rows and pictures in one archive, across engines."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peewee
import pytest
from click.testing import Result
from flask import Flask
from flask.testing import FlaskClient

from api.version import version
from models import MODELS, RateLimit, User, database, migrations
from models.copy_database import open_database

from .engines import BOTH_ENGINES
from .factories import PASSWORD, add_dog, photo, register, run_concurrently, trace_sql
from .live_server import free_port
from .s3 import Bucket
from .transfer_fixtures import error_output, is_empty, read_rows, read_rows_at, run_command

pytestmark = BOTH_ENGINES


def backup(app: Flask, path: Path) -> Result:
    return run_command(app, "backup", str(path))


def restore(app: Flask, path: Path) -> Result:
    return run_command(app, "restore", str(path))


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """The path for a backup, in an empty folder."""
    folder = tmp_path / "backups"
    folder.mkdir()
    return folder / "kennel.tar"


@pytest.fixture
def make_target_app(make_app: Callable[..., Flask], target: str, tmp_path: Path) -> Callable[[], Flask]:
    """Return a function that makes an application with an empty database and no pictures."""
    return lambda: make_app(DATABASE_URL=target, UPLOADS_URL=str(tmp_path / "new uploads"))


@pytest.fixture
def backup_file(app: Flask, anna: FlaskClient, archive: Path) -> Path:
    """A backup of one account, one dog and two pictures."""
    assert anna.put("/user/picture", data={"file": photo()}).status_code == 200
    add_dog(anna)
    assert backup(app, archive).exit_code == 0
    return archive


def read_files(folder: Path) -> dict[str, bytes]:
    """Return the content of each file in a folder, by name; nothing if the folder does not exist."""
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def read_members(path: Path) -> dict[str, bytes]:
    """Return the content of each member of an archive, by name."""
    with tarfile.open(path) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}


def write_members(path: Path, *members: tuple[str | tarfile.TarInfo, bytes]) -> None:
    """Write an archive with these members only."""
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in members:
            member = tarfile.TarInfo(name) if isinstance(name, str) else name
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def forge(path: Path, *changes: tuple[str | tarfile.TarInfo, bytes], **manifest_fields: Any) -> None:
    """Replace or add members of an archive, with a matching manifest; then override fields of the manifest."""
    members = read_members(path)
    manifest = json.loads(members.pop("manifest.json"))
    members |= {name: content for name, content in changes if name in members}
    added = [(name, content) for name, content in changes if name not in members]
    checksums = {name: hashlib.sha256(content).hexdigest() for name, content in members.items()}
    for member, content in added:
        name = member if isinstance(member, str) else member.name
        checksums[name] = hashlib.sha256(content).hexdigest()
    manifest |= {"sha256": checksums, **manifest_fields}
    write_members(path, *members.items(), *added, ("manifest.json", json.dumps(manifest).encode()))


def assert_untouched(app: Flask, tmp_path: Path) -> None:
    """Assert that the target has no rows and no pictures."""
    assert is_empty(app.config["DATABASE_URL"])
    assert read_files(tmp_path / "new uploads") == {}


# --- Round trip ---


def test_backup_and_restore_preserve_rows_pictures_sessions(
    populated_app: Flask, archive: Path, make_target_app: Callable[[], Flask], settings: dict[str, Any], tmp_path: Path
) -> None:
    client = populated_app.test_client()
    assert client.post("/user/login", json={"username": "Anna", "password": PASSWORD}).status_code == 200
    rows, pictures = read_rows(database.obj), read_files(Path(settings["UPLOADS_URL"]))
    profile = client.get("/user/profile").json

    created = backup(populated_app, archive)
    target_app = make_target_app()
    restored = restore(target_app, archive)

    assert (created.exit_code, restored.exit_code) == (0, 0), created.output + restored.output
    assert read_rows_at(target_app.config["DATABASE_URL"]) == rows
    assert read_files(tmp_path / "new uploads") == pictures
    assert len(pictures) == 6
    assert restored.stdout.splitlines()[: len(MODELS)] == created.stdout.splitlines()[: len(MODELS)]
    restored_client = target_app.test_client()
    restored_client.set_cookie("kennel_session", client.get_cookie("kennel_session").value)
    assert restored_client.get("/user/profile").json == profile
    assert restored_client.get(f"/profile_pics/{profile['data']['image']}").status_code == 200


def test_restored_database_does_not_reuse_deleted_ids(
    app: Flask, anna: FlaskClient, archive: Path, make_target_app: Callable[[], Flask]
) -> None:
    for _ in range(3):
        dog = add_dog(anna)
    assert anna.delete(f"/api/v1/dogs/{dog['id']}").status_code == 200

    assert backup(app, archive).exit_code == 0
    target_app = make_target_app()
    assert restore(target_app, archive).exit_code == 0

    assert add_dog(register(target_app, "Bob"))["id"] == dog["id"] + 1


def test_backup_file_is_private_and_has_no_secret_key(backup_file: Path, settings: dict[str, Any]) -> None:
    assert backup_file.stat().st_mode & 0o777 == 0o600
    assert settings["SECRET_KEY"].encode() not in backup_file.read_bytes()
    assert [path.name for path in backup_file.parent.iterdir()] == [backup_file.name]
    assert sorted(read_members(backup_file))[0] == "manifest.json"


def test_s3_pictures_are_backed_up_and_restored(
    make_app: Callable[..., Flask], backup_file: Path, bucket: Bucket, target: str, tmp_path: Path, new_database: Any
) -> None:
    pictures = {name for name in read_members(backup_file) if name.startswith("pictures/")}
    second_backup = tmp_path / "second_backup.tar"

    s3_app = make_app(DATABASE_URL=target, UPLOADS_URL=bucket.url)
    assert restore(s3_app, backup_file).exit_code == 0
    assert {f"pictures/{name}" for name in bucket.names()} == pictures
    assert backup(s3_app, second_backup).exit_code == 0

    first, second = read_members(backup_file), read_members(second_backup)
    assert {name: second[name] for name in pictures} == {name: first[name] for name in pictures}
    assert "UPLOADS_URL is not empty" in error_output(
        restore(make_app(DATABASE_URL=new_database(), UPLOADS_URL=bucket.url), backup_file)
    )


def test_restore_migrates_older_schema(backup_file: Path, make_target_app: Callable[[], Flask], tmp_path: Path) -> None:
    old = tmp_path / "old.sqlite"
    old.write_bytes(read_members(backup_file)["rows.sqlite"])
    with open_database(f"sqlite:///{old}") as rows:
        migrations.runner(rows).down()
        rows.execute_sql("PRAGMA journal_mode = DELETE")
        applied = [migration.name for migration in migrations.status(rows) if migration.applied]
        total = sum(1 for _ in migrations.status(rows))
        tables = set(rows.get_tables())
    counts = json.loads(read_members(backup_file)["manifest.json"])["rows"]
    counts = {table: count for table, count in counts.items() if table in tables}
    forge(backup_file, ("rows.sqlite", old.read_bytes()), migrations=applied, rows=counts)

    target_app = make_target_app()
    assert restore(target_app, backup_file).exit_code == 0

    assert len(applied) == total - 1
    with open_database(target_app.config["DATABASE_URL"]) as restored:
        assert all(migration.applied for migration in migrations.status(restored))
        assert User.select().bind(restored).count() == 1


# --- While the server runs ---


def test_backup_retries_when_picture_replaced(
    app: Flask, anna: FlaskClient, archive: Path, make_target_app: Callable[[], Flask], tmp_path: Path
) -> None:
    statements: list[str] = []
    images: list[str] = []

    def replace_picture() -> None:
        images.append(anna.put("/user/picture", data={"file": photo()}).json["data"]["image"])

    def interrupt(statement: str) -> None:
        statements.append(statement)
        begins = [number for number, text in enumerate(statements) if text.startswith("BEGIN")]
        # Replace it once before the first snapshot begins, so that the snapshot has the new picture, and once after.
        if begins == [len(statements) - 1] or (len(begins) == 1 and len(images) == 1 and "FROM" in statements[-2]):
            run_concurrently(app, replace_picture)

    with trace_sql(app, interrupt):
        result = backup(app, archive)

    assert result.exit_code == 0, result.output
    assert len(images) == 2
    assert sum(text.startswith("BEGIN") for text in statements) == 2
    assert f"pictures/{images[0]}" not in read_members(archive)
    target_app = make_target_app()
    assert restore(target_app, archive).exit_code == 0
    assert {images[1], images[1].replace(".", "_2x.")} == set(read_files(tmp_path / "new uploads"))


def test_backup_is_consistent_under_picture_replacement(
    app: Flask, anna: FlaskClient, archive: Path, make_target_app: Callable[[], Flask], tmp_path: Path
) -> None:
    clients = [anna, register(app, "Bob"), register(app, "Carla")]
    is_finished = False

    def replace_pictures(client: FlaskClient) -> int:
        count = 0
        while not is_finished:
            assert client.put("/user/picture", data={"file": photo()}).status_code == 200
            count += 1
        return count

    def back_up_repeatedly() -> list[Result]:
        nonlocal is_finished
        try:
            return [backup(app, archive.with_name(f"{number}.tar")) for number in range(3)]
        finally:
            is_finished = True

    replacing = [lambda client=client: replace_pictures(client) for client in clients]
    results, *replacement_counts = run_concurrently(app, back_up_repeatedly, *replacing)

    assert [result.exit_code for result in results] == [0] * 3, [result.output for result in results]
    assert all(replacement_counts)
    target_app = make_target_app()
    assert restore(target_app, archive.with_name("2.tar")).exit_code == 0
    assert {*User.all_picture_files()} == set(read_files(tmp_path / "new uploads"))


def test_missing_picture_is_reported_and_skipped(
    app: Flask,
    anna: FlaskClient,
    archive: Path,
    settings: dict[str, Any],
    make_target_app: Callable[[], Flask],
    tmp_path: Path,
) -> None:
    missing, *_ = sorted(read_files(Path(settings["UPLOADS_URL"])))
    (Path(settings["UPLOADS_URL"]) / missing).unlink()

    created = backup(app, archive)
    restored = restore(make_target_app(), archive)

    assert (created.exit_code, restored.exit_code) == (3, 0)
    for result in (created, restored):
        (line,) = result.stderr.splitlines()
        assert missing in line
    assert set(read_files(tmp_path / "new uploads")) == set(read_files(Path(settings["UPLOADS_URL"])))


def test_restore_skips_unreferenced_pictures(
    backup_file: Path, make_target_app: Callable[[], Flask], tmp_path: Path
) -> None:
    referenced = {name.removeprefix("pictures/") for name in read_members(backup_file) if name.startswith("pictures/")}
    forge(backup_file, (f"pictures/{'0' * 32}.webp", b"unreferenced"))

    assert restore(make_target_app(), backup_file).exit_code == 0

    assert set(read_files(tmp_path / "new uploads")) == referenced


# --- Refused archives and targets ---


def test_backup_does_not_overwrite_existing_file(app: Flask, archive: Path, tmp_path: Path) -> None:
    archive.write_text("precious")
    link = archive.with_name("link.tar")
    link.symlink_to(tmp_path / "nowhere")

    for path in (archive, link, tmp_path):
        assert "already exists" in error_output(backup(app, path))

    assert archive.read_text() == "precious"
    assert {path.name for path in archive.parent.iterdir()} == {"kennel.tar", "link.tar"}


def test_failed_backup_leaves_no_file(
    make_app: Callable[..., Flask], app: Flask, anna: FlaskClient, archive: Path, tmp_path: Path
) -> None:
    error_output(backup(app, tmp_path / "nowhere" / "kennel.tar"))
    error_output(backup(make_app(DATABASE_URL=f"postgresql://a:hunter2@127.0.0.1:{free_port()}/a"), archive))
    outdated = make_app()
    migrations.runner(database.obj).down()
    assert "db upgrade" in error_output(backup(outdated, archive))

    assert list(archive.parent.iterdir()) == []
    assert not (tmp_path / "nowhere").exists()


def test_restore_into_nonempty_target_changes_nothing(
    app: Flask, anna: FlaskClient, backup_file: Path, make_app: Callable[..., Flask], target: str, tmp_path: Path
) -> None:
    before = read_rows(database.obj), read_files(Path(app.config["UPLOADS_URL"]))

    assert "not empty" in error_output(restore(app, backup_file))
    assert "UPLOADS_URL is not empty" in error_output(restore(make_app(DATABASE_URL=target), backup_file))

    assert (read_rows_at(app.config["DATABASE_URL"]), read_files(Path(app.config["UPLOADS_URL"]))) == before
    assert is_empty(target)


def test_restore_rejects_any_flipped_bit(
    backup_file: Path, make_target_app: Callable[[], Flask], tmp_path: Path
) -> None:
    content = backup_file.read_bytes()
    target_app = make_target_app()
    rng = random.Random(7)
    with tarfile.open(backup_file) as tar:
        offsets = [offset for member in tar for offset in (member.offset, member.offset_data, member.offset_data + 9)]
    offsets += [rng.randrange(len(content)) for _ in range(60)] + [len(content) - 1]

    for offset in offsets:
        backup_file.write_bytes(content[:offset] + bytes([content[offset] ^ 1]) + content[offset + 1 :])
        assert "corrupt" in error_output(restore(target_app, backup_file)), offset

    assert_untouched(target_app, tmp_path)


def test_restore_rejects_truncated_archive(
    backup_file: Path, make_target_app: Callable[[], Flask], tmp_path: Path
) -> None:
    content = backup_file.read_bytes()
    target_app = make_target_app()
    for length in (1, 511, 512, 513, 9999, len(content) // 2, len(content) - 10240, len(content) - 1):
        backup_file.write_bytes(content[:length])
        error_output(restore(target_app, backup_file))

    assert_untouched(target_app, tmp_path)


def test_restore_rejects_non_archives(backup_file: Path, make_target_app: Callable[[], Flask], tmp_path: Path) -> None:
    target_app = make_target_app()
    content = backup_file.read_bytes()
    database_file = read_members(backup_file)["rows.sqlite"]
    for other in (b"", b"This is a text.", b"\0" * 10240, gzip.compress(content), database_file):
        backup_file.write_bytes(other)
        assert "kennel.tar" in error_output(restore(target_app, backup_file))
    error_output(restore(target_app, tmp_path))
    error_output(restore(target_app, tmp_path / "nowhere.tar"))

    assert_untouched(target_app, tmp_path)


def make_special_member(member_type: bytes) -> tarfile.TarInfo:
    """Return a member with a valid name that is not a regular file."""
    member = tarfile.TarInfo(f"pictures/{'0' * 32}.webp")
    member.type, member.linkname = member_type, "../../outside.webp"
    return member


@pytest.mark.parametrize(
    "member",
    [
        "../outside.webp",
        "/tmp/outside.webp",
        f"pictures/../../{'0' * 32}.webp",
        f"pictures/../{'0' * 32}.webp",
        f"{'0' * 32}.webp",
        "pictures/outside.webp",
        f"pictures/{'0' * 32}.webp\n",
        "rows.sqlite-wal",
        "rows.sqlite/../outside",
        make_special_member(tarfile.SYMTYPE),
        make_special_member(tarfile.LNKTYPE),
        make_special_member(tarfile.DIRTYPE),
        make_special_member(tarfile.FIFOTYPE),
        make_special_member(tarfile.CHRTYPE),
    ],
    ids=lambda member: member if isinstance(member, str) else member.type,
)
def test_restore_rejects_malicious_archive(
    backup_file: Path, make_target_app: Callable[[], Flask], tmp_path: Path, member: str | tarfile.TarInfo
) -> None:
    content = b"outside" if isinstance(member, str) else b""
    forge(backup_file, (member, content))
    before = {*tmp_path.rglob("*"), *tmp_path.parent.glob("*")}
    target_app = make_target_app()

    assert "corrupt" in error_output(restore(target_app, backup_file))

    assert_untouched(target_app, tmp_path)
    assert not [path for path in {*tmp_path.rglob("*"), *tmp_path.parent.glob("*")} - before if "outside" in path.name]


@pytest.mark.parametrize(
    "manifest_fields",
    [
        {"rows": {"users": 2}},
        {"rows": {'users" WHERE 1=1 --': 1}},
        {"rows": []},
        {"migrations": []},
        {"missing": ["../x"]},
        {"missing": [{}]},
        {"missing": None},
        {"version": "9.0\x1b[2J"},
        {"version": 9},
        {"sha256": {}},
    ],
    ids=str,
)
def test_restore_rejects_manifest_mismatch(
    backup_file: Path, make_target_app: Callable[[], Flask], tmp_path: Path, manifest_fields: dict[str, Any]
) -> None:
    forge(backup_file, **manifest_fields)
    target_app = make_target_app()

    assert "corrupt" in error_output(restore(target_app, backup_file))

    assert_untouched(target_app, tmp_path)


def test_restore_rejects_duplicate_members(
    backup_file: Path, make_target_app: Callable[[], Flask], tmp_path: Path
) -> None:
    members = read_members(backup_file)
    write_members(backup_file, *members.items(), ("rows.sqlite", members["rows.sqlite"]))
    target_app = make_target_app()

    assert "corrupt" in error_output(restore(target_app, backup_file))

    assert_untouched(target_app, tmp_path)


def test_restore_rejects_archive_without_referenced_picture(
    backup_file: Path, make_target_app: Callable[[], Flask], tmp_path: Path
) -> None:
    members = read_members(backup_file)
    del members[next(name for name in members if name.startswith("pictures/"))]
    write_members(backup_file, *members.items())
    forge(backup_file)
    target_app = make_target_app()

    assert "corrupt" in error_output(restore(target_app, backup_file))

    assert_untouched(target_app, tmp_path)


def test_manifest_has_kennel_version(backup_file: Path) -> None:
    assert json.loads(read_members(backup_file)["manifest.json"])["version"] == version()


def test_restore_accepts_manifest_without_version(
    backup_file: Path, make_target_app: Callable[[], Flask], tmp_path: Path
) -> None:
    members = read_members(backup_file)
    manifest = json.loads(members["manifest.json"])
    del manifest["version"]
    write_members(backup_file, *{**members, "manifest.json": json.dumps(manifest).encode()}.items())

    assert restore(make_target_app(), backup_file).exit_code == 0

    assert read_files(tmp_path / "new uploads")


@pytest.mark.parametrize("newer_part", ["format", "schema"])
@pytest.mark.parametrize("archive_version", ["9.0.1", None])
def test_restore_of_newer_backup_names_its_version(
    backup_file: Path,
    make_target_app: Callable[[], Flask],
    tmp_path: Path,
    newer_part: str,
    archive_version: str | None,
) -> None:
    if newer_part == "format":
        forge(backup_file, format=2, version=archive_version)
    else:
        rows = tmp_path / "newer.sqlite"
        rows.write_bytes(read_members(backup_file)["rows.sqlite"])
        with open_database(f"sqlite:///{rows}") as other:
            migrations.runner(other).History.create(name="9999_tomorrow")
            other.execute_sql("PRAGMA journal_mode = DELETE")
        forge(backup_file, ("rows.sqlite", rows.read_bytes()), version=archive_version)
    target_app = make_target_app()

    line = error_output(restore(target_app, backup_file))

    assert f"made by {f'Kennel {archive_version}' if archive_version else 'a newer version of Kennel'}" in line
    assert f"Kennel {version()} cannot restore it" in line

    assert_untouched(target_app, tmp_path)


def test_failed_restore_is_rolled_back(
    app: Flask, backup_file: Path, make_target_app: Callable[[], Flask], tmp_path: Path
) -> None:
    RateLimit.add("a", 1, 60)
    backup_file.unlink()
    assert backup(app, backup_file).exit_code == 0
    target_app = make_target_app()
    with open_database(target_app.config["DATABASE_URL"]) as other:
        migrations.upgrade(other)
        # Reject rows of the last table, which is copied after the pictures and all other tables.
        if isinstance(other, peewee.SqliteDatabase):
            other.execute_sql("CREATE TRIGGER t BEFORE INSERT ON rate_limits BEGIN SELECT RAISE(ABORT, 'full'); END")
        else:
            other.execute_sql("ALTER TABLE rate_limits ADD CHECK (length(key) > 999)")

    assert "Copy failed" in error_output(restore(target_app, backup_file))

    assert_untouched(target_app, tmp_path)


def test_restore_to_unwritable_uploads_prints_one_line(
    backup_file: Path, make_app: Callable[..., Flask], target: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    target_app = make_app(DATABASE_URL=target, UPLOADS_URL=str(tmp_path / "file" / "uploads"))

    assert "Picture storage" in error_output(restore(target_app, backup_file))

    assert is_empty(target)
