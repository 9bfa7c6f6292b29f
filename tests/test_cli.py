"""`flask --app run db upgrade`, `db status` and `uploads prune`: output, exit codes and effects."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from models import database, migrations

from .engines import BOTH_ENGINES, POSTGRESQL_ONLY
from .factories import photo, register
from .live_server import ROOT
from .transfer_fixtures import run_command

MIGRATIONS = sorted(path.stem for path in Path(migrations.__file__).parent.glob("[0-9]*.py"))
HOUR_SECONDS = 3600  # the default of `uploads prune --older-than`
OLD_SECONDS = HOUR_SECONDS + 60
RECENT_SECONDS = HOUR_SECONDS - 60


@pytest.fixture
def empty_app(new_database: Callable[..., str], make_app: Callable[..., Flask]) -> Flask:
    """An application whose database has no tables yet."""
    return make_app(DATABASE_URL=new_database())


@pytest.fixture
def put_file(settings: dict[str, Any]) -> Callable[..., str]:
    """Return a function that writes a file of this name and age, in seconds, to the picture folder."""
    folder = Path(settings["UPLOADS_URL"])

    def put(name: str, age: float = OLD_SECONDS) -> str:
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"content")
        os.utime(folder / name, times=(time.time() - age,) * 2)
        return name

    return put


# --- db ---


@BOTH_ENGINES
def test_upgrade_applies_and_lists_all_migrations(empty_app: Flask) -> None:
    result = run_command(empty_app, "db", "upgrade")

    assert (result.exit_code, result.output) == (0, "".join(f"Applied {name}.\n" for name in MIGRATIONS))
    register(empty_app, "Anna")


@BOTH_ENGINES
def test_upgrade_of_current_database_prints_up_to_date(app: Flask) -> None:
    result = run_command(app, "db", "upgrade")

    assert (result.exit_code, result.output) == (0, "The database is up to date.\n")


@BOTH_ENGINES
def test_status_with_pending_migrations_exits_1(empty_app: Flask) -> None:
    result = run_command(empty_app, "db", "status")

    assert (result.exit_code, result.output) == (1, "".join(f"{name}: pending\n" for name in MIGRATIONS))
    assert database.get_tables() == []


@BOTH_ENGINES
def test_status_without_pending_migrations_exits_0(app: Flask) -> None:
    result = run_command(app, "db", "status")

    dates = [f"{migration.applied:%Y-%m-%d %H:%M}" for migration in migrations.status(database.obj)]
    expected = [f"{name}: applied {date}\n" for name, date in zip(MIGRATIONS, dates, strict=True)]
    assert (result.exit_code, result.output) == (0, "".join(expected))


@pytest.mark.system
def test_commands_run_in_flask_cli(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "DATABASE_URL": f"sqlite:///{tmp_path / 'dogs.sqlite'}",
        "UPLOADS_URL": str(tmp_path / "uploads"),
        "SECRET_KEY": "a key for the tests, which is no secret",
    }

    def flask(*arguments: str) -> tuple[int, str, str]:
        command = [sys.executable, "-m", "flask", "--app", "run", *arguments]
        process = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        return process.returncode, process.stdout, process.stderr

    assert flask("db", "status") == (1, "".join(f"{name}: pending\n" for name in MIGRATIONS), "")
    assert flask("db", "upgrade") == (0, "".join(f"Applied {name}.\n" for name in MIGRATIONS), "")
    assert flask("uploads", "prune") == (0, "Removed 0 files.\n", "")


@pytest.mark.parametrize(
    "arguments",
    [("db", "downgrade"), ("db", "upgrade", "now"), ("uploads", "prune", "--older-than", "soon"), ("uploads", "sweep")],
    ids=" ".join,
)
def test_usage_error_exits_2_and_changes_nothing(
    app: Flask, put_file: Callable[..., str], uploads: Callable[[], set[str]], arguments: tuple[str, ...]
) -> None:
    orphan = put_file("0" * 32 + ".webp")

    result = run_command(app, *arguments)

    assert result.exit_code == 2
    assert result.output.startswith("Usage: ")
    assert uploads() == {orphan}


@pytest.mark.parametrize("command", ["db upgrade", "db status", "uploads prune"])
def test_unusable_database_prints_one_line(make_app: Callable[..., Flask], tmp_path: Path, command: str) -> None:
    app = make_app(DATABASE_URL=f"sqlite:///{tmp_path / 'nowhere' / 'dogs.sqlite'}")

    result = run_command(app, *command.split())

    # Any other exception would print a traceback.
    assert isinstance(result.exception, SystemExit)
    assert result.exit_code == 1
    assert "DATABASE_URL" in result.output
    assert len(result.output.splitlines()) == 1


# --- uploads prune ---


@pytest.mark.parametrize(
    "name", [f"{'0' * 32}.webp", f"{'f' * 32}_2x.webp", f".{'a' * 32}.webp", f".{'9' * 32}_2x.webp"]
)
def test_prune_removes_old_unreferenced_file(
    app: Flask, anna: FlaskClient, put_file: Callable[..., str], uploads: Callable[[], set[str]], name: str
) -> None:
    used = uploads()
    put_file(name)

    result = run_command(app, "uploads", "prune")

    assert (result.exit_code, result.output) == (0, "Removed 1 file.\n")
    assert uploads() == used


def test_prune_refuses_to_remove_most_files(
    app: Flask, bob: FlaskClient, put_file: Callable[..., str], uploads: Callable[[], set[str]]
) -> None:
    # As with the database of another installation.
    orphans = {put_file(f"{number * 32}.webp") for number in "123"}
    before = uploads()

    refused = run_command(app, "uploads", "prune")
    listed = run_command(app, "uploads", "prune", "--dry-run")

    assert refused.exit_code == 1
    assert "3 of 5 files belong to no account" in refused.output
    assert set(listed.output.split()) == orphans
    assert uploads() == before
    assert run_command(app, "uploads", "prune", "--force").output == "Removed 3 files.\n"
    assert uploads() == before - orphans


@pytest.mark.parametrize("name", [f"{'0' * 32}.webp", f".{'a' * 32}_2x.webp"])
def test_prune_skips_recent_files(
    app: Flask, put_file: Callable[..., str], uploads: Callable[[], set[str]], name: str
) -> None:
    put_file(name, age=RECENT_SECONDS)

    result = run_command(app, "uploads", "prune")

    assert (result.exit_code, result.output) == (0, "Removed 0 files.\n")
    assert uploads() == {name}


@BOTH_ENGINES
@pytest.mark.parametrize("picture", ["photo", "default"])
def test_prune_keeps_referenced_files_of_any_age(
    app: Flask,
    anna: FlaskClient,
    settings: dict[str, Any],
    put_file: Callable[..., str],
    uploads: Callable[[], set[str]],
    picture: str,
) -> None:
    if picture == "photo":
        assert anna.put("/user/picture", data={"file": photo()}).status_code == 200
    referenced = uploads()
    for name in referenced:
        os.utime(Path(settings["UPLOADS_URL"]) / name, times=(0, 0))
    # Temporary files, which a crash may leave, are not referenced even where the file itself is.
    leftovers = {put_file(f".{name}") for name in referenced}

    result = run_command(app, "uploads", "prune")

    assert len(leftovers) == 2
    assert (result.exit_code, result.output) == (0, "Removed 2 files.\n")
    assert uploads() == referenced
    image = anna.get("/user/profile").json["data"]["image"]
    assert anna.get(f"/profile_pics/{image}").status_code == 200


@pytest.mark.parametrize(
    "name",
    [
        ".gitkeep",
        "README.md",
        "family.webp",
        f"{'0' * 31}.webp",
        f"{'0' * 33}.webp",
        f"{'A' * 32}.webp",
        f"{'0' * 32}_3x.webp",
        f"{'0' * 32}.png",
        f"{'0' * 32}.webp.bak",
        f"..{'0' * 32}.webp",
        f"my {'0' * 32}.webp",
    ],
)
def test_prune_keeps_files_with_other_names(
    app: Flask, put_file: Callable[..., str], uploads: Callable[[], set[str]], name: str
) -> None:
    put_file(name)

    assert run_command(app, "uploads", "prune", "--older-than", "0").output == "Removed 0 files.\n"
    assert uploads() == {name}


def test_prune_older_than_option_sets_minimum_age(
    app: Flask, anna: FlaskClient, put_file: Callable[..., str], uploads: Callable[[], set[str]]
) -> None:
    used = uploads()
    old, recent = put_file(f"{'0' * 32}.webp", age=500), put_file(f"{'1' * 32}.webp", age=100)

    assert run_command(app, "uploads", "prune", "--older-than", "600").output == "Removed 0 files.\n"
    assert uploads() == {old, recent, *used}
    assert run_command(app, "uploads", "prune", "--older-than", "300").output == "Removed 1 file.\n"
    assert uploads() == {recent, *used}
    assert run_command(app, "uploads", "prune", "--older-than", "0").output == "Removed 1 file.\n"
    assert uploads() == used


def test_prune_without_uploads_folder_removes_nothing(app: Flask, uploads: Callable[[], set[str]]) -> None:
    result = run_command(app, "uploads", "prune")

    assert (result.exit_code, result.output) == (0, "Removed 0 files.\n")
    assert uploads() == set()


@BOTH_ENGINES
def test_prune_without_tables_fails_and_removes_nothing(
    empty_app: Flask, put_file: Callable[..., str], uploads: Callable[[], set[str]]
) -> None:
    orphan = put_file("0" * 32 + ".webp")

    assert run_command(empty_app, "uploads", "prune").exit_code != 0
    assert uploads() == {orphan}


def test_prune_ignores_concurrently_removed_files(
    app: Flask, put_file: Callable[..., str], uploads: Callable[[], set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    put_file(f".{'1' * 32}.webp")
    monkeypatch.setattr(Path, "glob", lambda folder, _: [folder / f"{'0' * 32}.webp", *folder.iterdir()])

    result = run_command(app, "uploads", "prune")

    assert (result.exit_code, uploads()) == (0, set())


def test_links_among_pictures_are_not_followed(
    app: Flask, anna: FlaskClient, settings: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("swordfish")
    link = Path(settings["UPLOADS_URL"]) / f"{'0' * 32}.webp"
    link.symlink_to(tmp_path / "secret")

    assert "swordfish" not in anna.get(f"/profile_pics/{link.name}").text
    assert run_command(app, "uploads", "prune", "--older-than", "-1").output == "Removed 0 files.\n"


@POSTGRESQL_ONLY
def test_unknown_driver_option_prints_one_line(make_app: Callable[..., Flask], settings: dict[str, Any]) -> None:
    app = make_app(DATABASE_URL=f"{settings['DATABASE_URL']}?surprise=1")

    result = run_command(app, "db", "upgrade")

    assert result.exit_code == 1
    assert len(result.output.splitlines()) == 1
    assert "DATABASE_URL" in result.output
