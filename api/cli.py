"""Commands: `flask --app run db upgrade|status` and `flask --app run uploads prune`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click
import peewee
from flask import Flask
from flask.cli import AppGroup

from models import User, database, migrations

from .storage import ABANDONED_SECONDS, pictures

db = AppGroup("db", help="The schema of the database.")
uploads = AppGroup("uploads", help="The files of the pictures.")


@contextmanager
def told_in_one_line(*outages: type[Exception]) -> Iterator[None]:
    """Stop the command with one line where one of these errors says that the database can't be used."""
    try:
        yield
    except outages as error:
        raise click.ClickException(f"DATABASE_URL: the database can't be used ({error}).") from error


def init_app(app: Flask) -> None:
    """Add the commands."""
    app.cli.add_command(db)
    app.cli.add_command(uploads)


@db.command("upgrade")
@told_in_one_line(peewee.DatabaseError, OSError, TypeError)
def upgrade() -> None:
    """Bring the schema up to date."""
    applied = migrations.upgrade(database.obj)
    for name in applied:
        click.echo(f"Applied {name}.")
    if not applied:
        click.echo("The schema is up to date.")


@db.command("status")
@told_in_one_line(peewee.DatabaseError)
def status() -> None:
    """List the migrations, and end with 1 where one is still to be applied."""
    listed = migrations.status(database.obj)
    for migration in listed:
        state = f"applied {migration.applied:%Y-%m-%d %H:%M}" if migration.applied else "to be applied"
        click.echo(f"{migration.name}: {state}")
    if not all(migration.applied for migration in listed):
        raise SystemExit(1)


@uploads.command("prune")
@click.option(
    "--older-than", default=ABANDONED_SECONDS, show_default=True, metavar="SECONDS",
    help="Leave younger files alone: the account they belong to may be in the making.",
)  # fmt: skip
@told_in_one_line(peewee.DatabaseError)
def prune(older_than: int) -> None:
    """Remove the picture files that no account names, such as a crash leaves behind."""
    removed = pictures().prune(User.all_picture_files(), older_than)
    click.echo(f"Removed {len(removed)} file{'' if len(removed) == 1 else 's'}.")
