"""The database of `DATABASE_URL`, for the models."""

from __future__ import annotations

import peewee
from flask import Flask

from models import connect

from .config import ConfigError


def init_app(app: Flask) -> None:
    """Point the models at the database; its connections open at first use. Raises `ConfigError`."""
    try:
        app.extensions["database"] = connect(app.config["DATABASE_URL"])
    except (ValueError, RuntimeError, AttributeError, peewee.ImproperlyConfigured):
        # A bad URL, a scheme that peewee does not know, and (the latter two) a driver that is not installed.
        raise ConfigError(
            "DATABASE_URL: no database can be made of it; is it a URL, and is the database's driver installed? "
            "For example: sqlite:///dogs.sqlite"
        ) from None
