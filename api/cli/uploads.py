"""`flask --app run uploads prune|move`."""

from __future__ import annotations

import sys
from collections import Counter

import click
from flask import current_app
from flask.cli import AppGroup

from models import User

from ..config import uploads_url
from ..pictures.store import ORPHAN_GRACE_SECONDS, make_store, picture_store
from .errors import exit_on_database_error, exit_on_storage_error

uploads = AppGroup("uploads", help="Maintain the picture files.")


@uploads.command("prune")
@click.option(
    "--older-than", default=ORPHAN_GRACE_SECONDS, show_default=True, metavar="SECONDS",
    help="Keep younger files: a request that is still running may have written them.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="List the files instead of deleting them.")
@click.option("--force", is_flag=True, help="Delete them even if they are most of the files.")
@exit_on_database_error()
@exit_on_storage_error()
def prune(older_than: int, dry_run: bool, force: bool) -> None:
    """Delete orphaned picture files.

    These are files that no account uses, such as after a crash.
    """
    store = picture_store.get()
    orphans, others = store.find_orphans(User.all_picture_files(), older_than)
    if dry_run:
        click.echo("".join(f"{name}\n" for name in orphans), nl=False)
        return
    pictures = [name for name in orphans if not name.startswith(".")]  # the rest are temporary files
    if len(pictures) > others and not force:
        raise click.ClickException(
            f"{len(pictures)} of {len(pictures) + others} files belong to no account in this database. "
            "Check DATABASE_URL and UPLOADS_URL; to delete them, add --force."
        )
    store.remove(orphans)
    click.echo(f"Removed {len(orphans)} file{'' if len(orphans) == 1 else 's'}.")


def parse_uploads_url(_: click.Context, option: click.Parameter, text: str) -> str:
    """Validate the URL of a picture storage, like `UPLOADS_URL`."""
    try:
        url = uploads_url(text)
        make_store(url)
    except ValueError as error:
        raise click.ClickException(f"{option.opts[0]}: {error}.") from None
    return url


@uploads.command("move")
@click.option(
    "--to", "url", required=True, metavar="URL", callback=parse_uploads_url,
    help="A directory, or s3://bucket/prefix, in the form of UPLOADS_URL.",
)  # fmt: skip
@exit_on_database_error()
@exit_on_storage_error()
def move(url: str) -> None:
    """Copy the pictures of all accounts to another storage. Nothing is deleted; run it again to resume."""
    source, target = picture_store.get(), make_store(url)
    source_url = current_app.config["UPLOADS_URL"]
    if url == source_url:
        raise click.ClickException("--to: source and destination are the same.")
    copied = Counter[bool | None]()
    total = sum(1 for _ in User.all_picture_files())
    hidden = not sys.stdout.isatty()
    with click.progressbar(User.all_picture_files(), length=total, label="Copying", hidden=hidden) as names:
        for name in names:
            copied[result := source.copy(name, target)] += 1
            if result is None:
                click.echo(f"{name} is missing in {source_url}.", err=True)
    click.echo(f"{copied[True]} copied, {copied[False]} skipped, {copied[None]} missing.")
    click.echo(f"To use them, set UPLOADS_URL={url} and restart the server.")
    if copied[None]:
        raise SystemExit(1)
