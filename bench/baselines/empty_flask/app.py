"""An empty Flask view, served like Kennel: `python app.py` in this folder, with Kennel's packages. Reads `PORT`.

It is the upper bound for any Flask application on this server.
"""

import os

from flask import Flask
from granian import Granian
from granian.constants import Interfaces

app = Flask(__name__)


@app.get("/")
def empty() -> str:
    """Return an empty body."""
    return ""


if __name__ == "__main__":
    # The options of run.py, with one worker.
    Granian(
        "app:app",
        address="127.0.0.1",
        port=int(os.environ["PORT"]),
        interface=Interfaces.WSGI,
        workers=1,
        blocking_threads=128,
        backpressure=8192,
        workers_kill_timeout=7,
        respawn_failed_workers=True,
        websockets=False,
        log_enabled=False,
    ).serve()
