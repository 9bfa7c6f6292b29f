"""schemathesis, with all its checks, against the real server: the API does what its OpenAPI document says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import requests

from .engines import BOTH_ENGINES
from .factories import PASSWORD
from .live_server import ROOT, Server

pytestmark = BOTH_ENGINES

Json = dict[str, Any]
BOB = {"username": "Bob", "email": "bob@example.com", "password": PASSWORD}


@pytest.fixture
def url(make_server: Callable[..., Server]) -> str:
    """A server where Bob has a dog."""
    server = make_server(RATELIMIT_ENABLED="false").start()
    with requests.Session() as bob:
        assert bob.post(f"{server.url}/user/register", json=BOB, timeout=30).ok
        assert bob.post(f"{server.url}/api/v1/dogs", json={"name": "Rex", "breed": "Poodle"}, timeout=30).ok
    return server.url


def run(url: str, folder: Path, caller: str, phases: str) -> Json:
    """What schemathesis reports, once it has found nothing."""
    (folder / "openapi.json").write_bytes(requests.get(f"{url}/openapi.json", timeout=30).content)
    command = ["--config-file", ROOT / "tests" / "schemathesis.toml", "run", "openapi.json", "--url", url]
    options = ["--phases", phases, "--report", "json", "--report-json-path", "report.json", "--no-color"]
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", *command, *options],
        cwd=folder,  # where it leaves its caches
        env={**os.environ, "PYTHONPATH": str(ROOT), "CALLER": caller},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
    return orjson.loads((folder / "report.json").read_bytes())


def succeeded(report: Json) -> set[str]:
    """The verbs that a call has got a success from."""
    rates = report["valid_rates"]
    return {verb for verb, phases in rates.items() if any(phase["accepted"] for phase in phases.values())}


@pytest.mark.parametrize(
    ("caller", "phases"), [("nobody", "examples,coverage,fuzzing,stateful"), ("user", "examples,coverage,fuzzing")]
)
def test_every_verb_does_what_the_document_says(url: str, tmp_path: Path, caller: str, phases: str) -> None:
    report = run(url, tmp_path, caller, phases)

    assert succeeded(report) == {
        f"{verb.upper()} {path}"
        for path, operations in requests.get(f"{url}/openapi.json", timeout=30).json()["paths"].items()
        for verb, operation in operations.items()
        if caller == "user" or "security" not in operation
    }


def test_what_is_added_can_be_changed_and_is_gone_once_it_is_deleted(url: str, tmp_path: Path) -> None:
    # A run of its own: after the one above, most of the dogs that are found are those of users who are gone.
    run(url, tmp_path, "user", "stateful")
