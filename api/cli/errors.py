"""Errors of commands: one line instead of a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click
import peewee

from models.copy_database import CopyError

from ..http.errors import StorageFull, StorageUnavailable, root_cause

DATABASE_UNAVAILABLE = "DATABASE_URL: database unavailable"


@contextmanager
def exit_on_database_error(message: str = DATABASE_UNAVAILABLE) -> Iterator[None]:
    """Exit with one line, which begins with `message`, if a database can't be used or a copy is refused."""
    try:
        yield
    except CopyError as error:
        raise click.ClickException(f"{error}.") from None
    except (peewee.DatabaseError, OSError, TypeError) as error:
        reason = " ".join(str(error).split())  # PostgreSQL's messages have several lines
        raise click.ClickException(f"{message} ({reason}).") from error


@contextmanager
def exit_on_storage_error() -> Iterator[None]:
    """Exit with one line if the pictures can't be read or stored."""
    try:
        yield
    except (StorageUnavailable, StorageFull) as error:
        raise click.ClickException(f"Picture storage unavailable ({root_cause(error) or error}).") from error
