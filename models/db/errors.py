"""What a database error means: its SQLSTATE, and whether the disk is full."""

from __future__ import annotations

import sqlite3

import peewee

# PostgreSQL's SQLSTATE for a full disk (its manual, appendix A).
DISK_FULL = "53100"


def sqlstate(error: peewee.PeeweeException) -> str | None:
    """Return PostgreSQL's SQLSTATE of an error (its manual, appendix A), or None if it has none."""
    return getattr(getattr(error, "orig", None), "sqlstate", None)


def is_disk_full(error: Exception) -> bool:
    """Return whether the database raised this error because its disk is full."""
    if not isinstance(error, peewee.DatabaseError):
        return False
    code = getattr(getattr(error, "orig", None), "sqlite_errorcode", None)
    return code == sqlite3.SQLITE_FULL or sqlstate(error) == DISK_FULL
