"""Commands: `flask --app run db|uploads|users|sessions|backup|restore|doctor`."""

from __future__ import annotations

from flask import Flask

from . import accounts, backup, database, doctor, uploads


def init_app(app: Flask) -> None:
    """Add the commands."""
    for command in (
        database.db,
        uploads.uploads,
        accounts.users,
        accounts.sessions,
        backup.backup,
        backup.restore,
        doctor.doctor,
    ):
        app.cli.add_command(command)
