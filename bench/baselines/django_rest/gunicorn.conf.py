"""Settings of `python -m gunicorn` in this folder."""

import os

bind = f"127.0.0.1:{os.environ['PORT']}"
wsgi_app = "wsgi:application"
workers = 1
# Unlike the default worker, this one supports keep-alive, so it needs no reverse proxy to be fast.
worker_class = "gthread"
# While one thread waits for PostgreSQL, another can run. SQLite runs in the thread itself, so more would not help.
threads = 1 if os.environ["DATABASE_URL"].startswith("sqlite") else 4
control_socket_disable = True
