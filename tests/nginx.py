"""nginx with the file of deploy/, on ports and with a certificate of its own."""

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

# Debian keeps it where only root looks for commands.
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
NEEDS_NGINX = pytest.mark.skipif(
    NGINX is None,
    reason="The tests behind nginx are left out. To have them too: sudo apt install nginx-light openssl curl",
)
# What an nginx of the system has around a site. The folders are where it keeps what does not fit into memory.
MAIN = """
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


class Listens(Protocol):
    """What nginx stands in front of."""

    port: int


class Nginx:
    """nginx in front of two servers. Starts on entry; stops on exit, and its folder goes."""

    def __init__(self, *servers: Listens) -> None:
        self.port, self.plain_port = free_port(), free_port()
        self.url = f"https://localhost:{self.port}"
        self.plain_url = f"http://localhost:{self.plain_port}"
        self.servers = servers

    def __enter__(self) -> Nginx:
        self.folder = Path(tempfile.mkdtemp(prefix="kennel-nginx-"))
        self.certificate = self.folder / "fullchain.pem"
        try:
            make_certificate(self.folder)
            self.site = self.folder / "kennel"
            self.site.write_text(self.here((ROOT / "deploy" / "nginx.conf").read_text()))
            user = "user root;" if os.geteuid() == 0 else ""  # else its processes could not enter this folder
            (self.folder / "nginx.conf").write_text(MAIN.format(folder=self.folder, user=user))
            self.start()
        except BaseException:
            shutil.rmtree(self.folder)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(timeout=30)
        shutil.rmtree(self.folder)

    def here(self, text: str) -> str:
        """A text of deploy/ or docs/ with the places that it has here."""
        one, other = self.servers
        for there, here in {
            "10.0.0.11:8000": f"127.0.0.1:{one.port}",
            "10.0.0.12:8000": f"127.0.0.1:{other.port}",
            "listen 443": f"listen 127.0.0.1:{self.port}",
            "listen 80": f"listen 127.0.0.1:{self.plain_port}",
            "/etc/letsencrypt/live/api.example.com": str(self.folder),
        }.items():
            text = text.replace(there, here)
        return text

    @property
    def command(self) -> list[str]:
        """The command that speaks for this nginx."""
        return [str(NGINX), "-e", str(self.folder / "log"), "-c", str(self.folder / "nginx.conf")]

    def start(self) -> None:
        """Start it, and wait until it listens."""
        # A group of its own: a Ctrl-C at a terminal is not for it.
        self.process = subprocess.Popen([*self.command, "-g", "daemon off;"], start_new_session=True)
        while not self.listens():
            assert self.process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.02)  # another process: there is no event to wait for

    def listens(self) -> bool:
        """Whether it takes connections, and can be told to start anew."""
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        except OSError:
            return False
        return (self.folder / "nginx.pid").exists()

    def call(self, method: str, path: str, **content: Any) -> requests.Response:
        """Call a server through it, on a connection of its own."""
        return requests.request(method, self.url + path, verify=str(self.certificate), timeout=60, **content)

    def run(self, commands: str) -> None:
        """Run commands of docs/ as an administrator on the machine of nginx. Raises with what they say if they fail."""
        ended = subprocess.run(
            ["bash", "-ec", self.here(commands)],
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
        assert ended.returncode == 0, f"{commands}{ended.stdout}{ended.stderr}"

    def errors(self) -> str:
        """What it has logged."""
        return (self.folder / "log").read_text()


def make_certificate(folder: Path) -> None:
    """A certificate of this machine, signed by itself, and its key."""
    names = "subjectAltName=DNS:api.example.com,DNS:localhost,IP:127.0.0.1"
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "7"]
    files = ["-keyout", str(folder / "privkey.pem"), "-out", str(folder / "fullchain.pem")]
    subprocess.run(
        ["openssl", "req", "-x509", *kind, "-subj", "/CN=api.example.com", "-addext", names, *files],
        check=True,
        capture_output=True,
    )
