"""Kennel's API: everything that knows a request exists. `create_app` makes the application."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Flask

from . import (
    auth,
    cli,
    database,
    errors,
    farewell,
    limits,
    logs,
    metrics,
    moving,
    openapi,
    pages,
    passwords,
    readiness,
    routes,
    security,
    slots,
    storage,
)
from .app import App
from .config import Config


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """The application, by the environment, `.env` and `config`, the later winning.

    Opens no connection, and of files only `.env` and the secret key's. Raises `ConfigError` for a bad setting.
    """
    app = App(__name__, static_folder=None)
    app.config.from_object(Config.load(config))
    logs.init_app(app)
    errors.init_app(app)
    farewell.init_app(app)
    database.init_app(app)
    metrics.init_app(app)
    security.init_app(app)
    auth.init_app(app)
    limits.init_app(app)
    slots.init_app(app)
    passwords.init_app(app)
    storage.init_app(app)
    readiness.init_app(app)
    routes.init_app(app)
    openapi.init_app(app)
    pages.init_app(app)
    cli.init_app(app)
    moving.init_app(app)
    return app
