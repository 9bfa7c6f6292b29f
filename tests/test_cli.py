"""The commands: `flask --app run db upgrade|status` and `flask --app run uploads prune`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask
from flask.testing import FlaskClient

from models import database, migrations

from .engines import BOTH_ENGINES
from .factories import photo, register
from .live_server import ROOT

NAMES = sorted(path.stem for path in Path(migrations.__file__).parent.glob("[0-9]*.py"))
HOUR = 3600
OLD = HOUR + 60
YOUNG = HOUR - 60


def run(app: Flask, *arguments: str) -> Result:
    """What a command prints, and the code it ends with."""
    return app.test_cli_runner().invoke(args=arguments)


@pytest.fixture
def empty(new_database: Callable[..., str], make_app: Callable[..., Flask]) -> Flask:
    """An application whose database has no tables yet."""
    return make_app(DATABASE_URL=new_database())


@pytest.fixture
def put_file(settings: dict[str, Any]) -> Callable[..., str]:
    """Puts a file of this name and age, in seconds, into the folder of pictures."""
    folder = Path(settings["UPLOADS_URL"])

    def put(name: str, age: float = OLD) -> str:
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"content")
        os.utime(folder / name, times=(time.time() - age,) * 2)
        return name

    return put


# --- db ---


@BOTH_ENGINES
def test_upgrade_makes_a_database_that_serves_and_says_what_it_did(empty: Flask) -> None:
    result = run(empty, "db", "upgrade")

    assert (result.exit_code, result.output) == (0, "".join(f"Applied {name}.\n" for name in NAMES))
    register(empty, "Anna")


@BOTH_ENGINES
def test_upgrade_says_when_there_is_nothing_to_do(app: Flask) -> None:
    result = run(app, "db", "upgrade")

    assert (result.exit_code, result.output) == (0, "The database is up to date.\n")


@BOTH_ENGINES
def test_status_ends_with_1_while_a_migration_is_to_be_applied(empty: Flask) -> None:
    result = run(empty, "db", "status")

    assert (result.exit_code, result.output) == (1, "".join(f"{name}: pending\n" for name in NAMES))
    assert database.get_tables() == []


@BOTH_ENGINES
def test_status_ends_with_0_once_all_are_applied(app: Flask) -> None:
    result = run(app, "db", "status")

    dates = [f"{listed.applied:%Y-%m-%d %H:%M}" for listed in migrations.status(database.obj)]
    expected = [f"{name}: applied {date}\n" for name, date in zip(NAMES, dates, strict=True)]
    assert (result.exit_code, result.output) == (0, "".join(expected))


@pytest.mark.system
def test_the_commands_are_those_of_the_flask_program(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "DATABASE_URL": f"sqlite:///{tmp_path / 'dogs.sqlite'}",
        "UPLOADS_URL": str(tmp_path / "uploads"),
        "SECRET_KEY": "a key for the tests, which is no secret",
    }

    def flask(*arguments: str) -> tuple[int, str, str]:
        command = [sys.executable, "-m", "flask", "--app", "run", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    assert flask("db", "status") == (1, "".join(f"{name}: pending\n" for name in NAMES), "")
    assert flask("db", "upgrade") == (0, "".join(f"Applied {name}.\n" for name in NAMES), "")
    assert flask("uploads", "prune") == (0, "Removed 0 files.\n", "")


@pytest.mark.parametrize(
    "arguments",
    [("db", "downgrade"), ("db", "upgrade", "now"), ("uploads", "prune", "--older-than", "soon"), ("uploads", "sweep")],
    ids=" ".join,
)
def test_a_command_that_is_mistyped_ends_with_2_and_does_nothing(
    app: Flask, put_file: Callable[..., str], uploads: Callable[[], set[str]], arguments: tuple[str, ...]
) -> None:
    orphan = put_file("0" * 32 + ".webp")

    result = run(app, *arguments)

    assert result.exit_code == 2
    assert result.output.startswith("Usage: ")
    assert uploads() == {orphan}


@pytest.mark.parametrize("command", ["db upgrade", "db status", "uploads prune"])
def test_a_database_that_can_not_be_opened_is_told_in_one_line(
    make_app: Callable[..., Flask], tmp_path: Path, command: str
) -> None:
    app = make_app(DATABASE_URL=f"sqlite:///{tmp_path / 'nowhere' / 'dogs.sqlite'}")

    result = run(app, *command.split())

    # Any other exception would end the program with a traceback.
    assert isinstance(result.exception, SystemExit)
    assert result.exit_code == 1
    assert "DATABASE_URL" in result.output
    assert len(result.output.splitlines()) == 1


# --- uploads prune ---


@pytest.mark.parametrize(
    "name", [f"{'0' * 32}.webp", f"{'f' * 32}_2x.webp", f".{'a' * 32}.webp", f".{'9' * 32}_2x.webp"]
)
def test_prune_removes_an_old_file_that_no_account_names(
    app: Flask, put_file: Callable[..., str], uploads: Callable[[], set[str]], name: str
) -> None:
    put_file(name)

    result = run(app, "uploads", "prune")

    assert (result.exit_code, result.output) == (0, "Removed 1 file.\n")
    assert uploads() == set()


@pytest.mark.parametrize("name", [f"{'0' * 32}.webp", f".{'a' * 32}_2x.webp"])
def test_prune_leaves_a_young_file_alone_for_its_account_may_be_in_the_making(
    app: Flask, put_file: Callable[..., str], uploads: Callable[[], set[str]], name: str
) -> None:
    put_file(name, age=YOUNG)

    result = run(app, "uploads", "prune")

    assert (result.exit_code, result.output) == (0, "Removed 0 files.\n")
    assert uploads() == {name}


@BOTH_ENGINES
@pytest.mark.parametrize("given", ["photo", "default"])
def test_prune_leaves_the_files_of_accounts_alone_however_old(
    app: Flask,
    anna: FlaskClient,
    settings: dict[str, Any],
    put_file: Callable[..., str],
    uploads: Callable[[], set[str]],
    given: str,
) -> None:
    if given == "photo":
        assert anna.put("/user/picture", data={"file": photo()}).status_code == 200
    named = uploads()
    for name in named:
        os.utime(Path(settings["UPLOADS_URL"]) / name, times=(0, 0))
    # What a crash leaves of writing a file is not named, though the file itself is.
    leftovers = {put_file(f".{name}") for name in named}

    result = run(app, "uploads", "prune")

    assert len(leftovers) == 2
    assert (result.exit_code, result.output) == (0, "Removed 2 files.\n")
    assert uploads() == named
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
def test_prune_leaves_files_alone_that_are_not_ours(
    app: Flask, put_file: Callable[..., str], uploads: Callable[[], set[str]], name: str
) -> None:
    put_file(name)

    assert run(app, "uploads", "prune", "--older-than", "0").output == "Removed 0 files.\n"
    assert uploads() == {name}


def test_prune_takes_the_age_from_its_option(
    app: Flask, put_file: Callable[..., str], uploads: Callable[[], set[str]]
) -> None:
    old, young = put_file(f"{'0' * 32}.webp", age=500), put_file(f"{'1' * 32}.webp", age=100)

    assert run(app, "uploads", "prune", "--older-than", "600").output == "Removed 0 files.\n"
    assert uploads() == {old, young}
    assert run(app, "uploads", "prune", "--older-than", "300").output == "Removed 1 file.\n"
    assert uploads() == {young}
    assert run(app, "uploads", "prune", "--older-than", "0").output == "Removed 1 file.\n"
    assert uploads() == set()


def test_prune_has_nothing_to_do_where_there_is_no_folder_yet(app: Flask, uploads: Callable[[], set[str]]) -> None:
    result = run(app, "uploads", "prune")

    assert (result.exit_code, result.output) == (0, "Removed 0 files.\n")
    assert uploads() == set()


@BOTH_ENGINES
def test_prune_removes_nothing_when_it_can_not_ask_which_files_are_named(
    empty: Flask, put_file: Callable[..., str], uploads: Callable[[], set[str]]
) -> None:
    orphan = put_file("0" * 32 + ".webp")

    assert run(empty, "uploads", "prune").exit_code != 0
    assert uploads() == {orphan}


def test_prune_goes_on_where_another_one_was_faster(
    app: Flask, settings: dict[str, Any], put_file: Callable[..., str], uploads: Callable[[], set[str]]
) -> None:
    put_file(f"{'1' * 32}.webp")
    # A name that leads nowhere is what it finds of a file that goes away just after it has listed the folder.
    (Path(settings["UPLOADS_URL"]) / f"{'0' * 32}.webp").symlink_to("gone")

    result = run(app, "uploads", "prune")

    assert result.exit_code == 0
    assert f"{'1' * 32}.webp" not in uploads()


@BOTH_ENGINES
def test_an_option_that_the_driver_does_not_know_is_told_in_one_line(
    make_app: Callable[..., Flask], settings: dict[str, Any]
) -> None:
    app = make_app(DATABASE_URL=f"{settings['DATABASE_URL']}?surprise=1")

    result = run(app, "db", "upgrade")

    assert result.exit_code == 1
    assert len(result.output.splitlines()) == 1
    assert "DATABASE_URL" in result.output
