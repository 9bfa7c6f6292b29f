"""Settings of `python -m gunicorn` in this folder."""

import os

bind = f"127.0.0.1:{os.environ['PORT']}"
wsgi_app = "app:app"
workers = 1
# Unlike gunicorn's other worker, this one keeps connections open, so it needs no proxy before it to be fast.
worker_class = "gthread"
# While PostgreSQL works, another thread can. SQLite works in the thread itself, and more threads would only take turns.
threads = 1 if os.environ["DATABASE_URL"].startswith("sqlite") else 4
control_socket_disable = True
