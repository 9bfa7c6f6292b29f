"""Kennel's API: everything that knows a request exists. `create_app` makes the application."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Flask

from . import database, frontend, openapi, routes
from .cli import backup, commands
from .config import Config
from .http import concurrency, errors
from .http.app import App
from .observability import health, logs, metrics
from .pictures import store
from .security import authentication, origins, passwords, rate_limits
from .server import graceful_shutdown


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """The application, by the environment, `.env` and `config`, the later winning.

    Opens no connection, and of files only `.env` and the secret key's. Raises `ConfigError` for a bad setting.
    """
    app = App(__name__, static_folder=None)
    app.config.from_object(Config.load(config))
    logs.init_app(app)
    errors.init_app(app)
    graceful_shutdown.init_app(app)
    database.init_app(app)
    metrics.init_app(app)
    origins.init_app(app)
    authentication.init_app(app)
    rate_limits.init_app(app)
    concurrency.init_app(app)
    passwords.init_app(app)
    store.init_app(app)
    health.init_app(app)
    routes.init_app(app)
    openapi.init_app(app)
    frontend.init_app(app)
    commands.init_app(app)
    backup.init_app(app)
    return app
