"""The files of deploy/ and the Dockerfile, as far as they can be tested without systemd and Docker."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
import requests
from dotenv import dotenv_values

from api.config import Config
from models.db.connection import make_database

from .cluster import photo_file, registration_fields
from .doc_runner import parse_blocks
from .live_server import ROOT, Server
from .s3 import Bucket

DOCKERFILE = (ROOT / "Dockerfile").read_text()
GENERATED_FILES = shutil.ignore_patterns("__pycache__", "node_modules")


@pytest.mark.system
def test_systemd_verifies_service_unit(tmp_path: Path) -> None:
    systemd_analyze = shutil.which("systemd-analyze")
    if systemd_analyze is None:
        pytest.skip("Verifying the unit needs systemd-analyze: sudo apt install systemd")
    unit = (ROOT / "deploy" / "kennel.service").read_text()
    # The documented user and directory need not exist on this machine.
    local_unit = unit.replace("/srv/kennel/.venv/bin/python", sys.executable).replace("User=kennel", "User=root")
    (tmp_path / "kennel.service").write_text(local_unit.replace("/srv/kennel", str(tmp_path)))

    result = subprocess.run(
        [systemd_analyze, "verify", "--man=no", str(tmp_path / "kennel.service")],
        check=False,
        capture_output=True,
        text=True,
    )

    assert "kennel.service" not in result.stdout + result.stderr
    assert result.returncode == 0


def test_deployment_page_quotes_service_unit() -> None:
    assert (ROOT / "deploy" / "kennel.service").read_text() in (ROOT / "docs" / "deployment.md").read_text()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A directory with exactly the files that the Dockerfile copies."""
    folder = tmp_path / "image"
    folder.mkdir()
    for source, target in re.findall(r"^COPY (\S+) (\S+)$", DOCKERFILE, re.MULTILINE):
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, folder / target, ignore=GENERATED_FILES)
        elif (ROOT / source).is_file():
            shutil.copy(ROOT / source, folder / target)
        else:
            assert source == "client/dist"  # built by Node.js, which is optional
    return folder


def test_dockerfile_image_serves_and_writes_nothing(
    image: Path, bucket: Bucket, make_server: Callable[..., Server]
) -> None:
    (variables,) = re.findall(r"^ENV (.*)$", DOCKERFILE, re.MULTILINE)
    (health,) = re.findall(r"^HEALTHCHECK .*\\\n +(\[.*\])$", DOCKERFILE, re.MULTILINE)
    assert 'CMD ["python", "run.py"]' in DOCKERFILE
    settings = {**dict(item.split("=") for item in variables.split()), "UPLOADS_URL": bucket.url}
    del settings["PORT"]
    before = set(image.rglob("*"))

    server = make_server(root=image, **settings).start()
    response = requests.post(
        f"{server.url}/user/register", data=registration_fields("Anna"), files=photo_file(), timeout=60
    )
    assert response.status_code == 201
    health_check = [sys.executable, *json.loads(health.replace(":8000", f":{server.port}"))[1:]]
    assert subprocess.run(health_check, check=False, timeout=30).returncode == 0
    assert server.stop() == 0
    assert subprocess.run(health_check, check=False, timeout=30, capture_output=True).returncode == 1

    assert set(image.rglob("*")) == before


def test_dockerfile_has_unprivileged_user_and_supported_python() -> None:
    users = re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE)
    assert users == ["kennel"]
    (version,) = re.findall(r"^FROM python:3\.(\d+)-slim-bookworm$", DOCKERFILE, re.MULTILINE)
    assert int(version) >= 11


# --- docs/high-availability.md ---


def find_block(text: str) -> str:
    """Return the only code block of the page that contains this text."""
    (found,) = (block.text for block in parse_blocks(ROOT / "docs" / "high-availability.md") if text in block.text)
    return found


def test_documented_settings_fit_postgresql_connection_limit() -> None:
    documented = dotenv_values(stream=StringIO(find_block("SECRET_KEY=")))
    settings = {name: value for name, value in documented.items() if not name.startswith("AWS_")}

    config = Config.load(settings)

    assert config.IS_HTTPS
    # PostgreSQL accepts 100 connections by default, and the page keeps ten in reserve.
    assert 2 * config.WEB_CONCURRENCY * config.DATABASE_POOL_SIZE <= 100 - 10


def test_documented_url_lists_both_postgresql_hosts() -> None:
    (url,) = re.findall(r"DATABASE_URL=(.*)", find_block("target_session_attrs"))

    database = make_database(Config.load({"DATABASE_URL": url}).DATABASE_URL)

    assert database.connect_params["host"] == "10.0.0.21,10.0.0.22"
    assert database.connect_params["port"] == "5432,5432"
    assert database.connect_params["target_session_attrs"] == "read-write"
