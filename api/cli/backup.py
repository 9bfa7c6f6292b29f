"""Commands that move house: `flask --app run db move`, `flask --app run backup` and `flask --app run restore`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import peewee
from flask import Flask
from flask.cli import with_appcontext

from models import database
from models.copy_database import CopyError, TableCopy, copy_rows, count_rows, migrate_target, open_database, snapshot
from models.db.connection import make_database

from ..backup.create import Backup, write_backup
from ..backup.restore import restore_backup
from ..config import database_url
from ..pictures.store import picture_store
from .commands import db, exit_on_storage_error

# How a backup ends that was made, but for pictures that were missing already.
INCOMPLETE = 3

SOURCE_ERROR = "DATABASE_URL: the database can't be used"
TARGET_ERROR = "--to: the database can't be used"
COPY_FAILED = "The rows can't be copied, and none were"


def init_app(app: Flask) -> None:
    """Add the commands. `db move` is one of a group that has been added."""
    app.cli.add_command(backup)
    app.cli.add_command(restore)


@contextmanager
def exit_on_database_error(begin: str) -> Iterator[None]:
    """Stop the command with one line where a database fails, or refuses to be moved. The line begins like this."""
    try:
        yield
    except CopyError as error:
        raise click.ClickException(f"{error}.") from None
    except (peewee.DatabaseError, OSError, TypeError) as error:
        reason = " ".join(str(error).split())  # PostgreSQL's reasons have several lines
        raise click.ClickException(f"{begin} ({reason}).") from error


def url_of_database(_: click.Context, option: click.Parameter, text: str) -> str:
    """The URL of a database, as `DATABASE_URL` takes it. It is never quoted: it may hold a password."""
    try:
        url = database_url(text)
    except ValueError as error:
        raise click.ClickException(f"{option.opts[0]}: {error}.") from None
    try:
        make_database(url)
    except ValueError:  # its text may quote a part of the password
        raise click.ClickException(f"{option.opts[0]}: no database can be made of this URL.") from None
    return url


@db.command("move")
@click.option(
    "--to", "url", required=True, metavar="URL", callback=url_of_database,
    help="The other database, as DATABASE_URL takes it. It must have no rows.",
)  # fmt: skip
@exit_on_database_error(SOURCE_ERROR)
def move(url: str) -> None:
    """Copy all rows to another database, as they are at this moment. Here, nothing is changed."""
    with snapshot(database.obj), open_database(url) as target:
        with exit_on_database_error(TARGET_ERROR):
            migrate_target(target, database.obj)
        moved = copy_with_progress(database.obj, target)
    print_summary(moved)
    click.echo("To use them, set DATABASE_URL to the URL that you gave as --to, and start the server anew.")


@click.command("backup")
@click.argument("file", type=click.Path(path_type=Path))
@with_appcontext
@exit_on_database_error("The backup can't be written")
@exit_on_storage_error()
def backup(file: Path) -> None:
    """Write all rows and pictures into a new FILE, while the server runs. The key of the cookies is not in it.

    Ends with 3 where accounts name pictures that are missing: the backup is made, without them.
    """
    made = write_backup(file, database.obj, picture_store(), copy_with_progress)
    print_summary(made.tables)
    click.echo(f"pictures: {made.pictures} files")
    warn_missing_pictures(made)
    click.echo(f"{file} is written. It holds addresses and password hashes: keep it safe.")
    if made.missing:
        raise SystemExit(INCOMPLETE)


@click.command("restore")
@click.argument("file", type=click.Path(path_type=Path))
@with_appcontext
@exit_on_database_error("The backup can't be brought back, and nothing was")
@exit_on_storage_error()
def restore(file: Path) -> None:
    """Bring the rows and pictures of a backup back, where there are none."""
    made = restore_backup(file, database.obj, picture_store(), copy_with_progress)
    print_summary(made.tables)
    click.echo(f"pictures: {made.pictures} files")
    warn_missing_pictures(made)


def warn_missing_pictures(made: Backup) -> None:
    """Say which pictures were missing when the backup was made."""
    if made.missing:
        click.echo(f"Accounts name pictures that are missing: {', '.join(map(ascii, made.missing))}", err=True)


def copy_with_progress(source: peewee.Database, target: peewee.Database) -> list[TableCopy]:
    """`copy_rows` with a bar that shows how far it is."""
    hidden = not sys.stdout.isatty()
    bar: Any = click.progressbar(length=2 * count_rows(source), label="Rows", hidden=hidden)
    with bar, exit_on_database_error(COPY_FAILED):
        return copy_rows(source, target, bar.update)


def print_summary(moved: list[TableCopy]) -> None:
    """Say what was moved, and that it was verified."""
    for table in moved:
        click.echo(f"{table.table}: {table.rows} rows, SHA-256 {table.checksum[:16]}")
    click.echo("All rows are there, and were read back as they were given.")
