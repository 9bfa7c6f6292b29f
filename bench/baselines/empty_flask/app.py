"""An empty Flask view, served as Kennel is: `python app.py` in this folder, with Kennel's own packages. Reads `PORT`.

It is as fast as anything made with Flask can be on this server.
"""

import os

from flask import Flask
from granian import Granian
from granian.constants import Interfaces

app = Flask(__name__)


@app.get("/")
def empty() -> str:
    """Nothing."""
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
        workers_kill_timeout=8,
        respawn_failed_workers=True,
        websockets=False,
        log_enabled=False,
    ).serve()
