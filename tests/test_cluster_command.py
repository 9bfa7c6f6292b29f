"""`make cluster`: two servers behind nginx for somebody to look at."""

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


def test_it_shows_that_two_servers_are_one_and_leaves_nothing_behind_at_ctrl_c(tmp_path: Path) -> None:
    lines = []
    with subprocess.Popen(
        [sys.executable, "-m", "tests.cluster"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},  # PostgreSQL's folder alone is elsewhere
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            for line in process.stdout:
                lines.append(line)
                if "Ctrl-C" in line:
                    os.killpg(process.pid, signal.SIGINT)  # as a terminal does it
            assert process.wait(timeout=60) == 0, "".join(lines)
        finally:
            process.kill()

    assert "  Her profile on the other: 401\n" in lines
    ports = [int(port) for line in lines for port in re.findall(r"(?:127\.0\.0\.1|localhost):(\d+)", line)]
    assert len(ports) == 5  # PostgreSQL, the store, two servers and nginx
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)
    assert list(tmp_path.iterdir()) == []


def test_a_check_ends_with_one_where_something_fails(tmp_path: Path) -> None:
    code = (
        "from tests import machines\n"
        "def show(deed, answer, status, _show=machines.show): return _show(deed, answer, 409)\n"
        "machines.show = show\n"
        "machines.main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, "--check"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert ended.returncode == 1
    assert "It should have been 409. The answer is: {" in ended.stderr
    assert list(tmp_path.iterdir()) == []
