"""`flask --app run backup FILE` and `restore FILE`: rows and pictures in one archive, from either engine to either."""

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
    """Where a backup goes, in a folder that has nothing else in it."""
    folder = tmp_path / "backups"
    folder.mkdir()
    return folder / "kennel.tar"


@pytest.fixture
def new_home(make_app: Callable[..., Flask], target: str, tmp_path: Path) -> Callable[[], Flask]:
    """Makes an application that has nothing yet, on either engine."""
    return lambda: make_app(DATABASE_URL=target, UPLOADS_URL=str(tmp_path / "new uploads"))


@pytest.fixture
def small(app: Flask, anna: FlaskClient, archive: Path) -> Path:
    """A backup of one account, one dog and two pictures."""
    assert anna.put("/user/picture", data={"file": photo()}).status_code == 200
    add_dog(anna)
    assert backup(app, archive).exit_code == 0
    return archive


def files_in(folder: Path) -> dict[str, bytes]:
    """The content of the files in a folder, where there is one."""
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def members_of(path: Path) -> dict[str, bytes]:
    """The content of an archive's files."""
    with tarfile.open(path) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}


def write_members(path: Path, *members: tuple[str | tarfile.TarInfo, bytes]) -> None:
    """Write an archive anew."""
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in members:
            member = tarfile.TarInfo(name) if isinstance(name, str) else name
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def forge(path: Path, *more: tuple[str | tarfile.TarInfo, bytes], **of_manifest: Any) -> None:
    """Change an archive, and its manifest so that it fits."""
    members = members_of(path)
    manifest = json.loads(members.pop("manifest.json"))
    changed = {name: content for name, content in more if name in members}
    others = [(name, content) for name, content in more if name not in members]
    kept = {**members, **changed}
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in kept.items()}
    for member, content in others:
        name = member if isinstance(member, str) else member.name
        sums[name] = hashlib.sha256(content).hexdigest()
    manifest |= {"sha256": sums, **of_manifest}
    write_members(path, *kept.items(), *others, ("manifest.json", json.dumps(manifest).encode()))


def assert_untouched(app: Flask, tmp_path: Path) -> None:
    """The new place has no rows and no pictures."""
    assert is_empty(app.config["DATABASE_URL"])
    assert files_in(tmp_path / "new uploads") == {}


# --- There and back ---


def test_rows_pictures_and_sessions_come_back_on_either_engine(
    populated: Flask, archive: Path, new_home: Callable[[], Flask], settings: dict[str, Any], tmp_path: Path
) -> None:
    client = populated.test_client()
    assert client.post("/user/login", json={"username": "Anna", "password": PASSWORD}).status_code == 200
    rows, pictures = read_rows(database.obj), files_in(Path(settings["UPLOADS_URL"]))
    profile = client.get("/user/profile").json

    made = backup(populated, archive)
    home = new_home()
    restored = restore(home, archive)

    assert (made.exit_code, restored.exit_code) == (0, 0), made.output + restored.output
    assert read_rows_at(home.config["DATABASE_URL"]) == rows
    assert files_in(tmp_path / "new uploads") == pictures
    assert len(pictures) == 6
    assert restored.stdout.splitlines()[: len(MODELS)] == made.stdout.splitlines()[: len(MODELS)]
    moved = home.test_client()
    moved.set_cookie("session", client.get_cookie("session").value)
    assert moved.get("/user/profile").json == profile
    assert moved.get(f"/profile_pics/{profile['data']['image']}").status_code == 200


def test_the_next_id_is_the_one_that_would_have_come_next(
    app: Flask, anna: FlaskClient, archive: Path, new_home: Callable[[], Flask]
) -> None:
    for _ in range(3):
        dog = add_dog(anna)
    assert anna.delete(f"/api/v1/dogs/{dog['id']}").status_code == 200

    assert backup(app, archive).exit_code == 0
    home = new_home()
    assert restore(home, archive).exit_code == 0

    assert add_dog(register(home, "Bob"))["id"] == dog["id"] + 1


def test_only_its_owner_can_read_it_and_it_holds_no_key(small: Path, settings: dict[str, Any]) -> None:
    assert small.stat().st_mode & 0o777 == 0o600
    assert settings["SECRET_KEY"].encode() not in small.read_bytes()
    assert [path.name for path in small.parent.iterdir()] == [small.name]
    assert sorted(members_of(small))[0] == "manifest.json"


def test_pictures_go_to_a_bucket_and_come_from_one(
    make_app: Callable[..., Flask], small: Path, bucket: Bucket, target: str, tmp_path: Path, new_database: Any
) -> None:
    pictures = {name for name in members_of(small) if name.startswith("pictures/")}
    again = tmp_path / "again.tar"

    in_bucket = make_app(DATABASE_URL=target, UPLOADS_URL=bucket.url)
    assert restore(in_bucket, small).exit_code == 0
    assert {f"pictures/{name}" for name in bucket.names()} == pictures
    assert backup(in_bucket, again).exit_code == 0

    assert {name: members_of(again)[name] for name in pictures} == {name: members_of(small)[name] for name in pictures}
    assert "UPLOADS_URL is not empty" in error_output(
        restore(make_app(DATABASE_URL=new_database(), UPLOADS_URL=bucket.url), small)
    )


def test_a_backup_of_an_older_schema_is_brought_up_to_date(
    small: Path, new_home: Callable[[], Flask], tmp_path: Path
) -> None:
    old = tmp_path / "old.sqlite"
    old.write_bytes(members_of(small)["rows.sqlite"])
    with open_database(f"sqlite:///{old}") as rows:
        migrations.runner(rows).down()
        rows.execute_sql("PRAGMA journal_mode = DELETE")
        applied = [listed.name for listed in migrations.status(rows) if listed.applied]
        number = sum(1 for _ in migrations.status(rows))
    forge(small, ("rows.sqlite", old.read_bytes()), migrations=applied)

    home = new_home()
    assert restore(home, small).exit_code == 0

    assert len(applied) == number - 1
    with open_database(home.config["DATABASE_URL"]) as there:
        assert all(listed.applied for listed in migrations.status(there))
        assert User.select().bind(there).count() == 1


# --- While the server runs ---


def test_a_picture_that_is_replaced_after_the_snapshot_leads_to_a_new_snapshot(
    app: Flask, anna: FlaskClient, archive: Path, new_home: Callable[[], Flask], tmp_path: Path
) -> None:
    seen: list[str] = []
    images: list[str] = []

    def replace() -> None:
        images.append(anna.put("/user/picture", data={"file": photo()}).json["data"]["image"])

    def interrupt(statement: str) -> None:
        seen.append(statement)
        begun = [number for number, text in enumerate(seen) if text.startswith("BEGIN")]
        # Before the first snapshot, so that the new picture is to be copied from within it; and once it has begun.
        if begun == [len(seen) - 1] or (len(begun) == 1 and len(images) == 1 and "FROM" in seen[-2]):
            run_concurrently(app, replace)

    with trace_sql(app, interrupt):
        result = backup(app, archive)

    assert result.exit_code == 0, result.output
    assert len(images) == 2
    assert sum(text.startswith("BEGIN") for text in seen) == 2
    assert f"pictures/{images[0]}" not in members_of(archive)
    home = new_home()
    assert restore(home, archive).exit_code == 0
    assert {images[1], images[1].replace(".", "_2x.")} == set(files_in(tmp_path / "new uploads"))


def test_pictures_that_are_replaced_all_the_time_are_whole_in_every_backup(
    app: Flask, anna: FlaskClient, archive: Path, new_home: Callable[[], Flask], tmp_path: Path
) -> None:
    clients = [anna, register(app, "Bob"), register(app, "Carla")]
    ended = False

    def replace(client: FlaskClient) -> int:
        number = 0
        while not ended:
            assert client.put("/user/picture", data={"file": photo()}).status_code == 200
            number += 1
        return number

    def back_up() -> list[Result]:
        nonlocal ended
        try:
            return [backup(app, archive.with_name(f"{number}.tar")) for number in range(3)]
        finally:
            ended = True

    results, *replaced = run_concurrently(app, back_up, *[lambda client=client: replace(client) for client in clients])

    assert [result.exit_code for result in results] == [0] * 3, [result.output for result in results]
    assert all(replaced)
    home = new_home()
    assert restore(home, archive.with_name("2.tar")).exit_code == 0
    assert {*User.all_picture_files()} == set(files_in(tmp_path / "new uploads"))


def test_a_picture_that_is_missing_altogether_is_named_and_left_out(
    app: Flask,
    anna: FlaskClient,
    archive: Path,
    settings: dict[str, Any],
    new_home: Callable[[], Flask],
    tmp_path: Path,
) -> None:
    lost, *_ = sorted(files_in(Path(settings["UPLOADS_URL"])))
    (Path(settings["UPLOADS_URL"]) / lost).unlink()

    made = backup(app, archive)
    restored = restore(new_home(), archive)

    assert (made.exit_code, restored.exit_code) == (3, 0)
    for result in (made, restored):
        (line,) = result.stderr.splitlines()
        assert lost in line
    assert set(files_in(tmp_path / "new uploads")) == set(files_in(Path(settings["UPLOADS_URL"])))


def test_pictures_that_no_account_names_are_left_out(
    small: Path, new_home: Callable[[], Flask], tmp_path: Path
) -> None:
    named = {name.removeprefix("pictures/") for name in members_of(small) if name.startswith("pictures/")}
    forge(small, (f"pictures/{'0' * 32}.webp", b"of nobody"))

    assert restore(new_home(), small).exit_code == 0

    assert set(files_in(tmp_path / "new uploads")) == named


# --- What is refused ---


def test_a_file_that_is_there_is_not_overwritten(app: Flask, archive: Path, tmp_path: Path) -> None:
    archive.write_text("precious")
    link = archive.with_name("link.tar")
    link.symlink_to(tmp_path / "nowhere")

    for path in (archive, link, tmp_path):
        assert "already exists" in error_output(backup(app, path))

    assert archive.read_text() == "precious"
    assert {path.name for path in archive.parent.iterdir()} == {"kennel.tar", "link.tar"}


def test_a_backup_that_fails_leaves_nothing(
    make_app: Callable[..., Flask], app: Flask, anna: FlaskClient, archive: Path, tmp_path: Path
) -> None:
    error_output(backup(app, tmp_path / "nowhere" / "kennel.tar"))
    error_output(backup(make_app(DATABASE_URL=f"postgresql://a:hunter2@127.0.0.1:{free_port()}/a"), archive))
    behind = make_app()
    migrations.runner(database.obj).down()
    assert "db upgrade" in error_output(backup(behind, archive))

    assert list(archive.parent.iterdir()) == []
    assert not (tmp_path / "nowhere").exists()


def test_rows_and_pictures_that_are_there_are_left_alone(
    app: Flask, anna: FlaskClient, small: Path, make_app: Callable[..., Flask], target: str, tmp_path: Path
) -> None:
    before = read_rows(database.obj), files_in(Path(app.config["UPLOADS_URL"]))

    assert "not empty" in error_output(restore(app, small))
    assert "UPLOADS_URL is not empty" in error_output(restore(make_app(DATABASE_URL=target), small))

    assert (read_rows_at(app.config["DATABASE_URL"]), files_in(Path(app.config["UPLOADS_URL"]))) == before
    assert is_empty(target)


def test_a_damaged_byte_is_noticed_wherever_it_is(small: Path, new_home: Callable[[], Flask], tmp_path: Path) -> None:
    content = small.read_bytes()
    home = new_home()
    chance = random.Random(7)
    with tarfile.open(small) as tar:
        places = [place for member in tar for place in (member.offset, member.offset_data, member.offset_data + 9)]
    places += [chance.randrange(len(content)) for _ in range(60)] + [len(content) - 1]

    for place in places:
        small.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert "corrupt" in error_output(restore(home, small)), place

    assert_untouched(home, tmp_path)


def test_a_truncated_archive_is_refused(small: Path, new_home: Callable[[], Flask], tmp_path: Path) -> None:
    content = small.read_bytes()
    home = new_home()
    for length in (1, 511, 512, 513, 9999, len(content) // 2, len(content) - 10240, len(content) - 1):
        small.write_bytes(content[:length])
        error_output(restore(home, small))

    assert_untouched(home, tmp_path)


def test_what_is_no_archive_is_refused(small: Path, new_home: Callable[[], Flask], tmp_path: Path) -> None:
    home = new_home()
    content = small.read_bytes()
    for other in (b"", b"This is a text.", b"\0" * 10240, gzip.compress(content), members_of(small)["rows.sqlite"]):
        small.write_bytes(other)
        assert "kennel.tar" in error_output(restore(home, small))
    error_output(restore(home, tmp_path))
    error_output(restore(home, tmp_path / "nowhere.tar"))

    assert_untouched(home, tmp_path)


def special(kind: bytes) -> tarfile.TarInfo:
    """A member that is no plain file, under a good name."""
    member = tarfile.TarInfo(f"pictures/{'0' * 32}.webp")
    member.type, member.linkname = kind, "../../outside.webp"
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
        special(tarfile.SYMTYPE),
        special(tarfile.LNKTYPE),
        special(tarfile.DIRTYPE),
        special(tarfile.FIFOTYPE),
        special(tarfile.CHRTYPE),
    ],
    ids=lambda member: member if isinstance(member, str) else member.type,
)
def test_a_hostile_archive_writes_nothing(
    small: Path, new_home: Callable[[], Flask], tmp_path: Path, member: str | tarfile.TarInfo
) -> None:
    content = b"outside" if isinstance(member, str) else b""
    forge(small, (member, content))
    before = {*tmp_path.rglob("*"), *tmp_path.parent.glob("*")}
    home = new_home()

    assert "corrupt" in error_output(restore(home, small))

    assert_untouched(home, tmp_path)
    assert not [path for path in {*tmp_path.rglob("*"), *tmp_path.parent.glob("*")} - before if "outside" in path.name]


@pytest.mark.parametrize(
    "of_manifest",
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
def test_a_manifest_that_does_not_fit_is_refused(
    small: Path, new_home: Callable[[], Flask], tmp_path: Path, of_manifest: dict[str, Any]
) -> None:
    forge(small, **of_manifest)
    home = new_home()

    assert "corrupt" in error_output(restore(home, small))

    assert_untouched(home, tmp_path)


def test_two_members_of_one_name_are_refused(small: Path, new_home: Callable[[], Flask], tmp_path: Path) -> None:
    members = members_of(small)
    write_members(small, *members.items(), ("rows.sqlite", members["rows.sqlite"]))
    home = new_home()

    assert "corrupt" in error_output(restore(home, small))

    assert_untouched(home, tmp_path)


def test_a_picture_that_rows_name_but_that_is_left_out_is_refused(
    small: Path, new_home: Callable[[], Flask], tmp_path: Path
) -> None:
    members = members_of(small)
    del members[next(name for name in members if name.startswith("pictures/"))]
    write_members(small, *members.items())
    forge(small)
    home = new_home()

    assert "corrupt" in error_output(restore(home, small))

    assert_untouched(home, tmp_path)


def test_manifest_names_the_version_that_wrote_it(small: Path) -> None:
    assert json.loads(members_of(small)["manifest.json"])["version"] == version()


def test_manifest_without_a_version_is_restored(small: Path, new_home: Callable[[], Flask], tmp_path: Path) -> None:
    members = members_of(small)
    manifest = json.loads(members["manifest.json"])
    del manifest["version"]
    write_members(small, *{**members, "manifest.json": json.dumps(manifest).encode()}.items())

    assert restore(new_home(), small).exit_code == 0

    assert files_in(tmp_path / "new uploads")


@pytest.mark.parametrize("newer", ["format", "schema"])
@pytest.mark.parametrize("maker", ["9.0.1", None])
def test_backup_of_a_newer_version_names_that_version(
    small: Path, new_home: Callable[[], Flask], tmp_path: Path, newer: str, maker: str | None
) -> None:
    if newer == "format":
        forge(small, format=2, version=maker)
    else:
        rows = tmp_path / "newer.sqlite"
        rows.write_bytes(members_of(small)["rows.sqlite"])
        with open_database(f"sqlite:///{rows}") as other:
            migrations.runner(other).History.create(name="9999_tomorrow")
            other.execute_sql("PRAGMA journal_mode = DELETE")
        forge(small, ("rows.sqlite", rows.read_bytes()), version=maker)
    home = new_home()

    line = error_output(restore(home, small))

    assert f"made by {f'Kennel {maker}' if maker else 'a newer version of Kennel'}" in line
    assert f"Kennel {version()} cannot restore it" in line

    assert_untouched(home, tmp_path)


def test_a_restore_that_fails_half_way_leaves_no_row_and_no_picture(
    app: Flask, small: Path, new_home: Callable[[], Flask], tmp_path: Path
) -> None:
    RateLimit.add("a", 1, 60)
    small.unlink()
    assert backup(app, small).exit_code == 0
    home = new_home()
    with open_database(home.config["DATABASE_URL"]) as other:
        migrations.upgrade(other)
        # The last table to be copied takes no row: pictures and the other tables have been copied by then.
        if isinstance(other, peewee.SqliteDatabase):
            other.execute_sql("CREATE TRIGGER t BEFORE INSERT ON rate_limits BEGIN SELECT RAISE(ABORT, 'full'); END")
        else:
            other.execute_sql("ALTER TABLE rate_limits ADD CHECK (length(key) > 999)")

    assert "Copy failed" in error_output(restore(home, small))

    assert_untouched(home, tmp_path)


def test_a_place_of_pictures_that_can_not_be_written_is_told_in_one_line(
    small: Path, make_app: Callable[..., Flask], target: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    home = make_app(DATABASE_URL=target, UPLOADS_URL=str(tmp_path / "file" / "uploads"))

    assert "Picture storage" in error_output(restore(home, small))

    assert is_empty(target)
