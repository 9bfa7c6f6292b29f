"""What keeps things from being stored for now: pictures that can't be reached, and a disk without room."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import peewee

from models.errors import sqlstate

DISK_FULL_MESSAGE = "There is no room left to store this. Whoever runs the server has to make some"
# PostgreSQL's code for a full disk (its manual, appendix A).
DISK_FULL = "53100"


class StorageUnavailable(Exception):
    """The place of the pictures can't be used right now."""


class StorageFull(Exception):
    """There is no room left for what is to be stored."""


def root_cause(error: Exception) -> str:
    """What lies behind an error, in the words of the system or of the store, and never in those of a user."""
    return getattr(error.__cause__, "strerror", None) or ""


@contextmanager
def translate_storage_errors(refusal: str) -> Iterator[None]:
    """Turn an `OSError` of the pictures' place into `StorageFull`, or `StorageUnavailable` with this text."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(DISK_FULL_MESSAGE) from error
        raise StorageUnavailable(refusal) from error


def is_full(error: Exception) -> bool:
    """Whether the database says by this error that its disk is full."""
    if not isinstance(error, peewee.DatabaseError):
        return False
    code = getattr(getattr(error, "orig", None), "sqlite_errorcode", None)
    return code == sqlite3.SQLITE_FULL or sqlstate(error) == DISK_FULL
