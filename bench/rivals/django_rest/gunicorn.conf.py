"""Settings of `python -m gunicorn` in this folder."""

import os

bind = f"127.0.0.1:{os.environ['PORT']}"
wsgi_app = "wsgi:application"
workers = 1
control_socket_disable = True
