"""Commands: `flask --app run db upgrade|status`, `flask --app run uploads prune|move` and `flask --app run doctor`."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import click
import peewee
from flask import Flask, current_app
from flask.cli import AppGroup, with_appcontext

from models import User, database, migrations

from ..config import origin, uploads_url
from ..http.outages import StorageFull, StorageUnavailable, root_cause
from ..pictures.store import ORPHAN_GRACE_SECONDS, make_store, picture_store
from .doctor import probe_deployment

db = AppGroup("db", help="The schema of the database.")
uploads = AppGroup("uploads", help="The files of the pictures.")


@contextmanager
def exit_on_database_error(*outages: type[Exception]) -> Iterator[None]:
    """Stop the command with one line where one of these errors says that the database can't be used."""
    try:
        yield
    except outages as error:
        reason = " ".join(str(error).split())  # PostgreSQL's reasons have several lines
        raise click.ClickException(f"DATABASE_URL: the database can't be used ({reason}).") from error


@contextmanager
def exit_on_storage_error() -> Iterator[None]:
    """Stop the command with one line where the pictures can't be read or stored."""
    try:
        yield
    except (StorageUnavailable, StorageFull) as error:
        raise click.ClickException(f"The pictures can't be used ({root_cause(error) or error}).") from error


def init_app(app: Flask) -> None:
    """Add the commands."""
    app.cli.add_command(db)
    app.cli.add_command(uploads)
    app.cli.add_command(doctor)


@db.command("upgrade")
@exit_on_database_error(peewee.DatabaseError, OSError, TypeError)
def upgrade() -> None:
    """Bring the schema up to date."""
    applied = migrations.upgrade(database.obj)
    for name in applied:
        click.echo(f"Applied {name}.")
    if not applied:
        click.echo("The schema is up to date.")


@db.command("status")
@exit_on_database_error(peewee.DatabaseError)
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
    "--older-than", default=ORPHAN_GRACE_SECONDS, show_default=True, metavar="SECONDS",
    help="Leave younger files alone: the account they belong to may be in the making.",
)  # fmt: skip
@exit_on_database_error(peewee.DatabaseError)
@exit_on_storage_error()
def prune(older_than: int) -> None:
    """Remove the picture files that no account names, such as a crash leaves behind."""
    removed = picture_store().prune(User.all_picture_files(), older_than)
    click.echo(f"Removed {len(removed)} file{'' if len(removed) == 1 else 's'}.")


def parse_uploads_url(_: click.Context, option: click.Parameter, text: str) -> str:
    """A place for pictures, as `UPLOADS_URL` takes it."""
    try:
        url = uploads_url(text)
        make_store(url)
    except ValueError as error:
        raise click.ClickException(f"{option.opts[0]}: {error}.") from None
    return url


@uploads.command("move")
@click.option(
    "--to", "url", required=True, metavar="URL", callback=parse_uploads_url,
    help="A folder, or s3://bucket/prefix, as UPLOADS_URL takes it.",
)  # fmt: skip
@exit_on_database_error(peewee.DatabaseError)
@exit_on_storage_error()
def move(url: str) -> None:
    """Copy the pictures of all accounts to another place. Nothing is removed. May be run again to go on."""
    source, here, to = current_app.config["UPLOADS_URL"], picture_store(), make_store(url)
    if url == source:
        raise click.ClickException("--to: the pictures are there already.")
    done = Counter[bool | None]()
    number = sum(1 for _ in User.all_picture_files())
    hidden = not sys.stdout.isatty()
    with click.progressbar(User.all_picture_files(), length=number, label="Copying", hidden=hidden) as names:
        for name in names:
            done[copied := here.copy(name, to)] += 1
            if copied is None:
                click.echo(f"{name} is missing in {source}.", err=True)
    click.echo(f"Copied {done[True]}, {done[False]} were there already, {done[None]} are missing.")
    click.echo(f"To use them, set UPLOADS_URL={url} and start the server anew. Nothing was removed.")
    if done[None]:
        raise SystemExit(1)


def parse_origin(_: click.Context, option: click.Parameter, text: str | None) -> str | None:
    """An origin, as the settings take it; that of a page may be `null` too, as browsers say for a file."""
    try:
        return text if text is None or (option.name == "page" and text == "null") else origin(text)
    except ValueError as error:
        raise click.ClickException(f"{option.opts[0]}: {error}. For example: http://localhost:3000") from None


@click.command("doctor")
@click.option(
    "--origin", "page", required=True, metavar="ORIGIN", callback=parse_origin,
    help="Scheme, host and port of the page, such as http://localhost:3000.",
)  # fmt: skip
@click.option("--url", metavar="ORIGIN", callback=parse_origin, help="Those that it calls; PUBLIC_URL by default.")
@with_appcontext
def doctor(page: str, url: str | None) -> None:
    """Say what keeps a page from using the running server, and end with 1 where something does."""
    url = url or current_app.config["PUBLIC_URL"]
    checks, findings = probe_deployment(page, url, current_app.config)
    click.echo(f"A page at {page} calls {url}:")
    for check, is_well in checks.items():
        click.echo(f"{'ok' if is_well else 'problem'}: {check}")
    for finding in findings:
        click.echo(finding)
    if findings:
        raise SystemExit(1)
