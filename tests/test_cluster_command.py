"""`make cluster`: two servers behind nginx, started to try out."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from .live_server import ROOT
from .nginx import NEEDS_NGINX

pytestmark = [NEEDS_NGINX, pytest.mark.system]


def test_cluster_demo_passes_and_sigint_cleans_up(tmp_path: Path) -> None:
    lines = []
    with subprocess.Popen(
        [sys.executable, "-m", "tests.cluster"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},  # all but PostgreSQL's data directory is here
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            for line in process.stdout:
                lines.append(line)
                if "Ctrl-C" in line:
                    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C in a terminal does
            assert process.wait(timeout=60) == 0, "".join(lines)
        finally:
            process.kill()

    assert "  Her profile on the other: 401\n" in lines
    ports = [int(port) for line in lines for port in re.findall(r"(?:127\.0\.0\.1|localhost):(\d+)", line)]
    assert len(ports) == 5  # PostgreSQL, S3, two servers and nginx
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)
    assert list(tmp_path.iterdir()) == []


def test_cluster_check_failure_exits_1(tmp_path: Path) -> None:
    code = (
        "from tests import cluster\n"
        "def expect_409(step, response, expected, _print=cluster.print_step): return _print(step, response, 409)\n"
        "cluster.print_step = expect_409\n"
        "cluster.main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, "--check"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert result.returncode == 1
    assert "Expected status 409. The response is: {" in result.stderr
    assert list(tmp_path.iterdir()) == []
