"""The connection of the models to the database at `DATABASE_URL`."""

from __future__ import annotations

import peewee
from flask import Flask

from models import connect

from .config import ConfigError
from .http.app_state import AppState

app_database = AppState[peewee.Database]("database")


def init_app(app: Flask) -> None:
    """Bind the models to the database. Connections open at first use. Raises `ConfigError`."""
    try:
        app_database.set(app, connect(app.config["DATABASE_URL"], app.config["DATABASE_POOL_SIZE"]))
    except ValueError as error:
        raise ConfigError(
            f"DATABASE_URL: {error}. For example: sqlite:///dogs.sqlite, or postgresql://user:password@host/database"
        ) from None
