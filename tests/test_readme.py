"""The README, pasted into a shell: every httpie command gives what the text says, on the real server."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from api.config import Config

from .server import ROOT, Server

README = (ROOT / "README.md").read_text()
# A block of commands, and the answer that stands right below it, where one does.
BLOCKS = re.findall(r"```sh\n(http .*?)```\n(?:\n```json\n(.*?)```)?", README, re.DOTALL)
# What differs from one run to the next.
VOLATILE = [
    (r"[0-9a-f]{32}", "<random>"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", "<moment>"),
]


def steady(text: str) -> Any:
    """An answer without what differs from one run to the next."""
    for pattern, name in VOLATILE:
        text = re.sub(pattern, name, text)
    return json.loads(text)


@pytest.fixture
def shell(tmp_path: Path) -> dict[str, str]:
    """An environment with `http` on its path, and sessions of its own."""
    command = tmp_path / "bin" / "http"
    command.parent.mkdir()
    # --ignore-stdin: at a terminal httpie does not wait for a body, here it would.
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m httpie --check-status --ignore-stdin "$@"\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    return {**os.environ, "PATH": f"{command.parent}:{os.environ['PATH']}", "HTTPIE_CONFIG_DIR": str(tmp_path)}


def test_the_httpie_session_gives_what_the_readme_says(tmp_path: Path, shell: dict[str, str]) -> None:
    assert len(BLOCKS) >= 7
    with Server(tmp_path / "server") as server:
        for commands, expected in BLOCKS:
            here = commands.replace(":8000", f":{server.port}")
            ran = subprocess.run(
                ["bash", "-ec", here], cwd=ROOT, env=shell, capture_output=True, text=True, timeout=60, check=False
            )
            if expected:
                assert steady(ran.stdout.replace(str(server.port), "8000")) == steady(expected), commands
            wrong = expected and json.loads(expected)["status"]["code"] >= 400
            assert (ran.returncode == 4) if wrong else (ran.returncode == 0), ran.stdout + ran.stderr


def test_the_settings_table_lists_every_setting_with_its_default_and_meaning() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (?:`(.*?)`)? ?\| (.*) \|$", README, re.MULTILINE)

    assert rows == [
        (item.name, item.default, item.metadata["meaning"]) for item in fields(Config) if item.name != "TESTING"
    ]
