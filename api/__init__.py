"""The HTTP API. `create_app` is the application factory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flask import Flask


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Return a new application. Settings, from lowest to highest precedence: `.env`, the environment, `config`.

    Opens no connection, and no files but `.env` and that of the secret key. Raises `ConfigError`.
    """
    # Not imported above, so that the decoder process, a module of this package, starts in a fifth of a second.
    from . import cli, database, frontend, openapi, routes
    from .config import Config
    from .http import body, concurrency, errors
    from .http.app import App
    from .observability import health, logs, metrics
    from .pictures import store
    from .security import authentication, origins, passwords, rate_limits, session_cookie
    from .server import graceful_shutdown

    app = App(__name__, static_folder=None)
    app.config.from_object(Config.load(config))
    logs.init_app(app)
    errors.init_app(app)
    body.init_app(app)
    graceful_shutdown.init_app(app)
    database.init_app(app)
    metrics.init_app(app)
    session_cookie.init_app(app)
    origins.init_app(app)
    authentication.init_app(app)
    rate_limits.init_app(app)
    concurrency.init_app(app)
    passwords.init_app(app)
    store.init_app(app)
    health.init_app(app, store.picture_store.get(app).check, lambda: graceful_shutdown.shutdown.is_draining)
    routes.init_app(app)
    openapi.init_app(app)
    frontend.init_app(app)
    cli.init_app(app)
    return app
