"""The files of deploy/ and the Dockerfile, as far as they can be tried out without a machine that they are for."""

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
from .doc_runner import blocks_of
from .live_server import ROOT, Server
from .s3 import Bucket

CONTAINERFILE = (ROOT / "Dockerfile").read_text()
MADE = shutil.ignore_patterns("__pycache__", "node_modules")


@pytest.mark.system
def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("The unit is not verified. For this too: sudo apt install systemd")
    unit = (ROOT / "deploy" / "kennel.service").read_text()
    # The user and the folder of the page need not be here.
    here = unit.replace("/srv/kennel/.venv/bin/python", sys.executable).replace("User=kennel", "User=root")
    (tmp_path / "kennel.service").write_text(here.replace("/srv/kennel", str(tmp_path)))

    verified = subprocess.run(
        [program, "verify", "--man=no", str(tmp_path / "kennel.service")], check=False, capture_output=True, text=True
    )

    assert "kennel.service" not in verified.stdout + verified.stderr
    assert verified.returncode == 0


def test_the_page_shows_the_unit_of_the_folder() -> None:
    assert (ROOT / "deploy" / "kennel.service").read_text() in (ROOT / "docs" / "deployment.md").read_text()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A folder with the files that the Dockerfile copies, and no others."""
    folder = tmp_path / "image"
    folder.mkdir()
    for source, target in re.findall(r"^COPY (\S+) (\S+)$", CONTAINERFILE, re.MULTILINE):
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, folder / target, ignore=MADE)
        elif (ROOT / source).is_file():
            shutil.copy(ROOT / source, folder / target)
        else:
            assert source == "client/dist"  # built by Node.js, where there is one
    return folder


def test_what_the_containerfile_copies_serves_and_writes_nothing(
    image: Path, bucket: Bucket, make_server: Callable[..., Server]
) -> None:
    (variables,) = re.findall(r"^ENV (.*)$", CONTAINERFILE, re.MULTILINE)
    (health,) = re.findall(r"^HEALTHCHECK .*\\\n +(\[.*\])$", CONTAINERFILE, re.MULTILINE)
    assert 'CMD ["python", "run.py"]' in CONTAINERFILE
    settings = {**dict(item.split("=") for item in variables.split()), "UPLOADS_URL": bucket.url}
    del settings["PORT"]
    before = set(image.rglob("*"))

    server = make_server(root=image, **settings).start()
    registered = requests.post(
        f"{server.url}/user/register", data=registration_fields("Anna"), files=photo_file(), timeout=60
    )
    assert registered.status_code == 201
    asked = [sys.executable, *json.loads(health.replace(":8000", f":{server.port}"))[1:]]
    assert subprocess.run(asked, check=False, timeout=30).returncode == 0
    assert server.stop() == 0
    assert subprocess.run(asked, check=False, timeout=30, capture_output=True).returncode == 1

    assert set(image.rglob("*")) == before


def test_the_container_runs_as_nobody_special_on_a_python_that_kennel_takes() -> None:
    users = re.findall(r"^USER (\S+)$", CONTAINERFILE, re.MULTILINE)
    assert users == ["kennel"]
    (version,) = re.findall(r"^FROM python:3\.(\d+)-slim-bookworm$", CONTAINERFILE, re.MULTILINE)
    assert int(version) >= 11


# --- The page on many machines ---


def block_with(word: str) -> str:
    """The one block of the page that holds this word."""
    (found,) = (block.text for block in blocks_of(ROOT / "docs" / "high-availability.md") if word in block.text)
    return found


def test_the_settings_of_the_page_are_good_and_fit_postgresql() -> None:
    given = dotenv_values(stream=StringIO(block_with("SECRET_KEY=")))
    settings = {name: value for name, value in given.items() if not name.startswith("AWS_")}

    config = Config.load(settings)

    assert config.IS_HTTPS
    # PostgreSQL takes 100 connections, and the page wants ten to be spare.
    assert 2 * config.WEB_CONCURRENCY * config.DATABASE_POOL_SIZE <= 100 - 10


def test_the_page_names_two_hosts_in_a_way_that_both_are_tried() -> None:
    (url,) = re.findall(r"DATABASE_URL=(.*)", block_with("target_session_attrs"))

    database = make_database(Config.load({"DATABASE_URL": url}).DATABASE_URL)

    assert database.connect_params["host"] == "10.0.0.21,10.0.0.22"
    assert database.connect_params["port"] == "5432,5432"
    assert database.connect_params["target_session_attrs"] == "read-write"
