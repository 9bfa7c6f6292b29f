"""The development server: Flask's, which reloads when the code changes, without its debugger."""

from __future__ import annotations

import logging
import sys

from flask import Flask

from ..security.cors_diagnosis import enable_refusal_hints

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def serve_dev(app: Flask) -> None:
    """Serve on this machine only, and explain refused cross-origin requests. Exits with one line for another `HOST`."""
    if app.config["HOST"] not in LOOPBACK:
        sys.exit("HOST: --dev serves this machine only. For example: 127.0.0.1")
    enable_refusal_hints(app)
    logging.getLogger("werkzeug").setLevel("WARNING")
    app.run(app.config["HOST"], app.config["PORT"], debug=False, use_reloader=True, threaded=True)
