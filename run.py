"""Start the server: `python run.py`. For another WSGI server, the application is `run:app`."""

from __future__ import annotations

import argparse
import sys

import peewee

from api import create_app
from api.config import ConfigError, misspelled_settings
from api.server.dev import serve_dev
from api.server.granian import serve
from api.version import version
from models import database, migrations

try:
    app = create_app()
except ConfigError as error:
    sys.exit(str(error))


def main() -> None:
    """Migrate the database, then serve."""
    parser = argparse.ArgumentParser(description="Start the Kennel server.")
    parser.add_argument("--version", action="version", version=f"Kennel {version()}")
    parser.add_argument("--dev", action="store_true", help="reload when the code changes; serves this machine only")
    options = parser.parse_args()
    try:
        applied = migrations.upgrade(database.obj)
    except (peewee.DatabaseError, OSError, TypeError) as error:
        reason = " ".join(str(error).split())  # PostgreSQL's messages have several lines
        sys.exit(f"DATABASE_URL: database unavailable ({reason}). For example: sqlite:///dogs.sqlite")
    for name, setting in misspelled_settings().items():
        print(f".env: {name} is not a setting. Did you mean {setting}?", file=sys.stderr)
    for name in applied:
        print(f"Applied migration {name}.", flush=True)
    if options.dev:
        serve_dev(app)
    else:
        serve(app, "run:app")


if __name__ == "__main__":
    main()
