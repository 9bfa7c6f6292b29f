"""`flask --app run db upgrade|status|move`."""

from __future__ import annotations

import sys
from typing import Any

import click
import peewee
from flask.cli import AppGroup

from models import database, migrations
from models.copy_database import copy_rows, count_rows, migrate_target, open_database, snapshot
from models.db.connection import make_database
from models.table_rows import TableCopy

from ..config import database_url
from .errors import exit_on_database_error

SOURCE_UNAVAILABLE = "DATABASE_URL: cannot open the source database"
TARGET_UNAVAILABLE = "--to: cannot open the target database"
COPY_FAILED = "Copy failed, target unchanged"

db = AppGroup("db", help="Migrate the database, or copy it to another one.")


@db.command("upgrade")
@exit_on_database_error()
def upgrade() -> None:
    """Apply all pending migrations."""
    applied = migrations.upgrade(database.obj)
    for name in applied:
        click.echo(f"Applied {name}.")
    if not applied:
        click.echo("The database is up to date.")


@db.command("status")
@exit_on_database_error()
def status() -> None:
    """List the migrations. Exit with 1 if one is pending."""
    listed = migrations.status(database.obj)
    for migration in listed:
        state = f"applied {migration.applied:%Y-%m-%d %H:%M}" if migration.applied else "pending"
        click.echo(f"{migration.name}: {state}")
    if not all(migration.applied for migration in listed):
        raise SystemExit(1)


def parse_database_url(_: click.Context, option: click.Parameter, text: str) -> str:
    """Validate a database URL, like `DATABASE_URL`. It may contain a password, so errors never quote it."""
    try:
        url = database_url(text)
    except ValueError as error:
        raise click.ClickException(f"{option.opts[0]}: {error}.") from None
    try:
        make_database(url)
    except ValueError:  # its message may quote part of the password
        raise click.ClickException(f"{option.opts[0]}: invalid database URL.") from None
    return url


@db.command("move")
@click.option(
    "--to", "url", required=True, metavar="URL", callback=parse_database_url,
    help="The target database, in the form of DATABASE_URL. It must be empty.",
)  # fmt: skip
@exit_on_database_error(SOURCE_UNAVAILABLE)
def move(url: str) -> None:
    """Copy all rows to another database, from one snapshot. The source is not changed."""
    with snapshot(database.obj), open_database(url) as target:
        with exit_on_database_error(TARGET_UNAVAILABLE):
            migrate_target(target, database.obj)
        copies = copy_with_progress(database.obj, target)
    print_summary(copies)
    click.echo("To use them, set DATABASE_URL to the URL of the target and restart the server.")


def copy_with_progress(source: peewee.Database, target: peewee.Database) -> list[TableCopy]:
    """Call `copy_rows` with a progress bar, if the output is a terminal."""
    hidden = not sys.stdout.isatty()
    bar: Any = click.progressbar(length=2 * count_rows(source), label="Rows", hidden=hidden)
    with bar, exit_on_database_error(COPY_FAILED):
        return copy_rows(source, target, bar.update)


def print_summary(copies: list[TableCopy]) -> None:
    """Print the row count and checksum of each table."""
    for copy in copies:
        click.echo(f"{copy.table}: {copy.rows} rows, SHA-256 {copy.checksum[:16]}")
    click.echo("All rows copied and verified.")
