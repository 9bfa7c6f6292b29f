"""Property-based tests of the real server against its OpenAPI document, with all checks of schemathesis."""

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

from .engines import BOTH_ENGINES, POSTGRESQL_ONLY
from .factories import PASSWORD
from .live_server import ROOT, Server

Json = dict[str, Any]
BOB = {"username": "Bob", "email": "bob@example.com", "password": PASSWORD}


@pytest.fixture
def url(make_server: Callable[..., Server]) -> str:
    """The URL of a server where Bob has a dog."""
    server = make_server(RATELIMIT_ENABLED="false").start()
    with requests.Session() as bob:
        assert bob.post(f"{server.url}/user/register", json=BOB, timeout=30).ok
        assert bob.post(f"{server.url}/api/v1/dogs", json={"name": "Rex", "breed": "Poodle"}, timeout=30).ok
    return server.url


def run_schemathesis(url: str, folder: Path, caller: str, phases: str) -> Json:
    """Run schemathesis, require that it finds no failures, and return its report."""
    (folder / "openapi.json").write_bytes(requests.get(f"{url}/openapi.json", timeout=30).content)
    command = ["--config-file", ROOT / "tests" / "schemathesis.toml", "run", "openapi.json", "--url", url]
    options = ["--phases", phases, "--report", "json", "--report-json-path", "report.json", "--no-color"]
    process = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", *command, *options],
        cwd=folder,  # its caches go here
        env={**os.environ, "PYTHONPATH": str(ROOT), "CALLER": caller},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert process.returncode == 0, process.stdout
    return orjson.loads((folder / "report.json").read_bytes())


def accepted_operations(report: Json) -> set[str]:
    """Return the operations that have accepted at least one request."""
    rates = report["valid_rates"]
    return {verb for verb, phases in rates.items() if any(phase["accepted"] for phase in phases.values())}


def require_conformance(url: str, folder: Path, caller: str, phases: str) -> None:
    """Run schemathesis, and require that it got every operation to accept a request that this caller may send."""
    report = run_schemathesis(url, folder, caller, phases)

    assert accepted_operations(report) == {
        f"{verb.upper()} {path}"
        for path, operations in requests.get(f"{url}/openapi.json", timeout=30).json()["paths"].items()
        for verb, operation in operations.items()
        if caller == "user" or "security" not in operation
    }


@pytest.mark.slow
@BOTH_ENGINES
def test_operations_of_a_user_conform_to_openapi_document(url: str, tmp_path: Path) -> None:
    require_conformance(url, tmp_path, "user", "examples,coverage,fuzzing")


@pytest.mark.slow
def test_anonymous_operations_conform_to_openapi_document(url: str, tmp_path: Path) -> None:
    require_conformance(url, tmp_path, "anonymous", "examples,coverage,fuzzing,stateful")


@pytest.mark.slow
@POSTGRESQL_ONLY
def test_stateful_operations_conform_to_openapi_document(url: str, tmp_path: Path) -> None:
    # Separate from the run above, after which most dogs in the lists belong to deleted users.
    run_schemathesis(url, tmp_path, "user", "stateful")
