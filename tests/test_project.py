"""What surrounds the code: version, changelog, container image, continuous integration and editor settings."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
import yaml
from flask.testing import FlaskClient

from api.version import version

from .live_server import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MAKEFILE = (ROOT / "Makefile").read_text()


def read(name: str) -> str:
    return (ROOT / name).read_text()


def load_yaml(name: str) -> Any:
    return yaml.safe_load(read(name))


def test_version_is_that_of_pyproject() -> None:
    assert version() == PYPROJECT["project"]["version"]


def test_openapi_document_has_the_version(client: FlaskClient) -> None:
    assert client.get("/openapi.json").json["info"]["version"] == version()


def test_changelog_newest_release_is_the_version() -> None:
    headings = re.findall(r"^## (.+)$", read("CHANGELOG.md"), re.MULTILINE)

    assert headings[0] == "[Unreleased]"
    assert re.fullmatch(rf"\[{re.escape(version())}\] - \d{{4}}-\d\d-\d\d", headings[1])


def test_license_is_the_one_pyproject_names() -> None:
    (file,) = PYPROJECT["project"]["license-files"]

    assert read(file).startswith(f"{PYPROJECT['project']['license']} License")


def test_dockerignore_admits_what_the_dockerfile_copies() -> None:
    sources = re.findall(r"^COPY (.+) \S+$", read("Dockerfile"), re.MULTILINE)
    admitted = {line.removeprefix("!") for line in read(".dockerignore").splitlines() if line.startswith("!")}

    assert "pyproject.toml" in sources
    assert set(sources) <= admitted


def test_editorconfig_line_length_is_that_of_ruff() -> None:
    (length,) = re.findall(r"^max_line_length = (\d+)$", read(".editorconfig"), re.MULTILINE)

    assert int(length) == PYPROJECT["tool"]["ruff"]["line-length"]


def test_python_versions_of_the_tools_are_those_required() -> None:
    oldest = PYPROJECT["project"]["requires-python"].removeprefix(">=")

    assert PYPROJECT["tool"]["mypy"]["python_version"] == oldest
    assert load_yaml(".github/workflows/ci.yml")["jobs"]["check"]["strategy"]["matrix"]["python"][0] == oldest
    assert f"--python-version {oldest} " in MAKEFILE
    assert f"FROM python:{oldest}-" in read("Dockerfile")


def test_ci_workflow_runs_make_check() -> None:
    workflow = load_yaml(".github/workflows/ci.yml")

    assert "make check" in [step.get("run") for step in workflow["jobs"]["check"]["steps"]]


def test_pre_commit_hooks_run_the_python_tools_of_make_lint() -> None:
    (lint,) = re.findall(r"^lint:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    (repository,) = load_yaml(".pre-commit-config.yaml")["repos"]
    hooks = [hook["entry"].removesuffix(" --force-exclude") for hook in repository["hooks"]]

    assert hooks == [line.removesuffix(" --check") for line in re.findall(r"\.venv/bin/python -m .+", lint)]


@pytest.mark.parametrize(
    "name",
    ["CONTRIBUTING.md", ".env.example", ".pre-commit-config.yaml", ".github/pull_request_template.md"],
)
def test_make_targets_that_a_file_names_exist(name: str) -> None:
    targets = set(re.findall(r"^([a-z-]+)(?=[a-z -]*:)", MAKEFILE, re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)", read(name)))

    assert named
    assert named <= targets
