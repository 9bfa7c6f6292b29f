"""The database of `DATABASE_URL`, for the models."""

from __future__ import annotations

from flask import Flask

from models import connect

from .config import ConfigError


def init_app(app: Flask) -> None:
    """Point the models at the database; its connections open at first use. Raises `ConfigError`."""
    try:
        app.extensions["database"] = connect(app.config["DATABASE_URL"], app.config["DATABASE_POOL_SIZE"])
    except ValueError as error:
        raise ConfigError(
            f"DATABASE_URL: {error}. For example: sqlite:///dogs.sqlite, or postgresql://user:password@host/database"
        ) from None
