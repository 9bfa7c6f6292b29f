"""nginx with the configuration in deploy/, on free ports and with a self-signed certificate."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Protocol

import pytest
import requests

from .live_server import ROOT, free_port

# Debian installs it outside the PATH of ordinary users.
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
NEEDS_NGINX = pytest.mark.skipif(
    NGINX is None,
    reason="Tests behind nginx need it: sudo apt install nginx-light openssl curl",
)
# The main configuration that includes the site. Buffers that exceed memory go to these directories.
MAIN_CONFIG = """
{user}
worker_processes 2;
pid {folder}/nginx.pid;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/kennel;
}}
"""


class Upstream(Protocol):
    """A server that nginx forwards requests to."""

    port: int


class Nginx:
    """nginx as a reverse proxy for two servers. Starts on entry; stops and deletes its files on exit."""

    def __init__(self, *servers: Upstream) -> None:
        self.port, self.http_port = free_port(), free_port()
        self.url = f"https://localhost:{self.port}"
        self.http_url = f"http://localhost:{self.http_port}"
        self.servers = servers

    def __enter__(self) -> Nginx:
        self.folder = Path(tempfile.mkdtemp(prefix="kennel-nginx-"))
        self.certificate = self.folder / "fullchain.pem"
        try:
            make_certificate(self.folder)
            self.site = self.folder / "kennel"
            self.site.write_text(self.localize((ROOT / "deploy" / "nginx.conf").read_text()))
            user = "user root;" if os.geteuid() == 0 else ""  # else its workers could not read this directory
            (self.folder / "nginx.conf").write_text(MAIN_CONFIG.format(folder=self.folder, user=user))
            self.start()
        except BaseException:
            shutil.rmtree(self.folder)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(timeout=30)
        shutil.rmtree(self.folder)

    def localize(self, text: str) -> str:
        """Replace addresses and paths in a text of deploy/ or docs/ by those of this test."""
        one, other = self.servers
        for documented, local in {
            "10.0.0.11:8000": f"127.0.0.1:{one.port}",
            "10.0.0.12:8000": f"127.0.0.1:{other.port}",
            "listen 443": f"listen 127.0.0.1:{self.port}",
            "listen 80": f"listen 127.0.0.1:{self.http_port}",
            "/etc/letsencrypt/live/api.example.com": str(self.folder),
        }.items():
            text = text.replace(documented, local)
        return text

    @property
    def command(self) -> list[str]:
        """The command line that controls this nginx."""
        return [str(NGINX), "-e", str(self.folder / "log"), "-c", str(self.folder / "nginx.conf")]

    def start(self) -> None:
        """Start nginx, and wait until it accepts connections."""
        # In a new process group, so that Ctrl-C in a terminal does not reach it.
        self.process = subprocess.Popen([*self.command, "-g", "daemon off;"], start_new_session=True)
        while not self.is_listening():
            assert self.process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.02)  # another process: there is no event to wait for

    def is_listening(self) -> bool:
        """Return whether nginx accepts connections and has written its PID file, which a reload needs."""
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        except OSError:
            return False
        return (self.folder / "nginx.pid").exists()

    def call(self, method: str, path: str, **content: Any) -> requests.Response:
        """Send a request through nginx on a new connection."""
        return requests.request(method, self.url + path, verify=str(self.certificate), timeout=60, **content)

    def run(self, commands: str) -> None:
        """Run shell commands of docs/ as if on nginx's host. Raise `AssertionError` with their output on failure."""
        result = subprocess.run(
            ["bash", "-ec", self.localize(commands)],
            cwd=ROOT,
            env={
                **os.environ,
                "SITE": str(self.site),
                "NGINX": " ".join(self.command),
                "NGINX_PID": str(self.folder / "nginx.pid"),
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
        )
        assert result.returncode == 0, f"{commands}{result.stdout}{result.stderr}"

    def read_log(self) -> str:
        """Return the content of nginx's error log."""
        return (self.folder / "log").read_text()


def make_certificate(folder: Path) -> None:
    """Create a self-signed certificate for localhost and api.example.com, and its key."""
    names = "subjectAltName=DNS:api.example.com,DNS:localhost,IP:127.0.0.1"
    key_type = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "7"]
    files = ["-keyout", str(folder / "privkey.pem"), "-out", str(folder / "fullchain.pem")]
    subprocess.run(
        ["openssl", "req", "-x509", *key_type, "-subj", "/CN=api.example.com", "-addext", names, *files],
        check=True,
        capture_output=True,
    )
