"""`flask --app run backup FILE` and `flask --app run restore FILE`."""

from __future__ import annotations

from pathlib import Path

import click
from flask.cli import with_appcontext

from models import database

from ..backup.create import BackupSummary, write_backup
from ..backup.restore import restore_backup
from ..pictures.store import picture_store
from .database import copy_with_progress, print_summary
from .errors import exit_on_database_error, exit_on_storage_error

# The exit status of a backup that lacks picture files.
EXIT_INCOMPLETE = 3


@click.command("backup")
@click.argument("file", type=click.Path(path_type=Path))
@with_appcontext
@exit_on_database_error("Backup failed")
@exit_on_storage_error()
def backup(file: Path) -> None:
    """Back up all rows and pictures to a new FILE.

    The server may be running. The secret key is not included. Exit with 3 if picture files of accounts are missing: the
    backup is complete except for them.
    """
    summary = write_backup(file, database.obj, picture_store.get(), copy_with_progress)
    print_summary(summary.tables)
    click.echo(f"pictures: {summary.pictures} files")
    warn_missing_pictures(summary)
    click.echo(f"Backup written to {file}. It contains e-mail addresses and password hashes; store it securely.")
    if summary.missing:
        raise SystemExit(EXIT_INCOMPLETE)


@click.command("restore")
@click.argument("file", type=click.Path(path_type=Path))
@with_appcontext
@exit_on_database_error("Restore failed; nothing was changed")
@exit_on_storage_error()
def restore(file: Path) -> None:
    """Restore all rows and pictures of a backup.

    The database and the picture storage must be empty.
    """
    summary = restore_backup(file, database.obj, picture_store.get(), copy_with_progress)
    print_summary(summary.tables)
    click.echo(f"pictures: {summary.pictures} files")
    warn_missing_pictures(summary)


def warn_missing_pictures(summary: BackupSummary) -> None:
    """Print which picture files were missing when the backup was made."""
    if summary.missing:
        click.echo(f"Missing picture files: {', '.join(map(ascii, summary.missing))}", err=True)
