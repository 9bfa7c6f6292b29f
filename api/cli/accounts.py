"""`flask --app run sessions end` and `flask --app run users unlock`."""

from __future__ import annotations

import click
from flask.cli import AppGroup

from models import Session, User

from ..security.rate_limits import unlock
from .errors import exit_on_database_error

sessions = AppGroup("sessions", help="End login sessions.")
users = AppGroup("users", help="Manage accounts.")


@sessions.command("end")
@click.option("--all", "everyone", is_flag=True, required=True, help="Those of all accounts.")
@exit_on_database_error()
def end(everyone: bool) -> None:
    """Log everyone out, in every browser."""
    count = Session.delete().execute()
    click.echo(f"Ended {count} session{'' if count == 1 else 's'}.")


@users.command("unlock")
@click.argument("name")
@exit_on_database_error()
def unlock_user(name: str) -> None:
    """Forget the failed logins of the account with this username or email address."""
    user = User.find_by_login(username=name) or User.find_by_login(email=name.lower())
    if user is None:
        raise click.ClickException("No account has this username or email address.")
    unlock(user)
    click.echo(f"{user.username} can log in again.")
