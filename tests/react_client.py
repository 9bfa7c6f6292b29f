"""Fixtures and helpers for the React client in a real browser, served by the API and by Vite on another origin."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Locator, Page, expect

from .factories import PASSWORD, sqlite_file
from .live_server import ROOT, Server, free_port

CLIENT = ROOT / "client"
NEEDS_NODE = pytest.mark.skipif(
    not (CLIENT / "dist" / "index.html").exists() and shutil.which("node") is None,
    reason="Tests of the React client need Node.js 20.19 or newer.",
)


@pytest.fixture(scope="session")
def api_port() -> int:
    """The port of the API. It is the same for all tests, because Vite builds it into its pages."""
    return free_port()


@pytest.fixture(scope="session")
def vite_port() -> int:
    """The port of Vite. It is the same for all tests, because the API lists its origin."""
    return free_port()


@pytest.fixture(scope="session")
def vite(system: None, api_port: int, vite_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The origin of the client, served as by `make client` but on a free port."""
    log = tmp_path_factory.mktemp("vite") / "log"
    with open(log, "w") as output:
        process = subprocess.Popen(
            ["npm", "run", "dev", "--", "--port", str(vite_port)],
            cwd=CLIENT,
            env={**os.environ, "VITE_API_URL": f"http://localhost:{api_port}"},
            stdout=output,
            stderr=output,
            start_new_session=True,  # in a new process group, so that npm's children are killed too
        )
    try:
        while not is_listening(vite_port):
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)  # another process: there is no event to wait for
        yield f"http://localhost:{vite_port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def is_listening(port: int) -> bool:
    """Return whether a process listens on this port of `localhost`."""
    try:
        socket.create_connection(("localhost", port), timeout=1).close()
    except OSError:
        return False
    return True


@dataclass(frozen=True)
class Site:
    """The client's origin, and the API server that it calls."""

    origin: str
    server: Server

    def register(self, username: str) -> requests.Session:
        """Register a user, and return an HTTP client with its session."""
        client = requests.Session()
        body = {"username": username, "email": f"{username.lower()}@example.com", "password": PASSWORD}
        assert client.post(f"{self.server.url}/user/register", json=body, timeout=30).status_code == 201
        return client

    def add_dog(self, client: requests.Session, **fields: str) -> dict[str, Any]:
        """Create a dog with this HTTP client, and return it."""
        body = {"name": "Rex", "breed": "Poodle", **fields}
        return client.post(f"{self.server.url}/api/v1/dogs", json=body, timeout=30).json()["data"]


@pytest.fixture(scope="session")
def running_api(
    system: None, api_port: int, vite_port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """The API of the client. It serves one test after the other, because it takes longer to start than most of them."""
    origin = f"http://localhost:{vite_port}"
    with Server(tmp_path_factory.mktemp("api"), port=api_port, WEB_CONCURRENCY="1", CORS_ORIGINS=origin) as server:
        yield server


@pytest.fixture
def empty_api(running_api: Server) -> Server:
    """The API of the client, with an empty database and no pictures."""
    with closing(sqlite3.connect(sqlite_file(running_api.settings["DATABASE_URL"]))) as database, database:
        database.execute("PRAGMA foreign_keys = ON")  # deletes the users' dogs and sessions too
        for table in ("users", "rate_limits", "sqlite_sequence"):
            database.execute(f"DELETE FROM {table}")
    shutil.rmtree(running_api.uploads, ignore_errors=True)
    return running_api if running_api.is_ready() else running_api.start()  # a test that failed has left it stopped


@pytest.fixture
def site(empty_api: Server) -> Site:
    """The built client, served by the API itself."""
    assert (CLIENT / "dist" / "index.html").exists(), "The client is not built. Run: make client/dist/index.html"
    return Site(f"http://localhost:{empty_api.port}", empty_api)


@pytest.fixture(params=["API", "Vite"])
def any_site(request: pytest.FixtureRequest, empty_api: Server) -> Site:
    """The client, served by the API itself and by Vite on another origin."""
    if request.param == "API":
        return request.getfixturevalue("site")
    return Site(request.getfixturevalue("vite"), empty_api)


def sign_up(page: Page, site: Site, username: str, photo: Path | None = None) -> None:
    """Create an account on the sign-up page."""
    page.goto(f"{site.origin}/signup")
    page.get_by_label("Username").fill(username)
    page.get_by_label("E-mail address").fill(f"{username.lower()}@example.com")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    if photo:
        page.locator("input[type=file]").set_input_files(photo)
    page.get_by_role("button", name="Sign up").click()
    expect(account_button(page, username)).to_be_visible()


def log_in(page: Page, account: str, password: str = PASSWORD, remember: bool = False) -> None:
    """Submit the login page, which must be open."""
    page.get_by_label("E-mail address or username").fill(account)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_label("Remember me").set_checked(remember)
    page.get_by_role("main").get_by_role("button", name="Log in").click()


def log_out(page: Page, username: str) -> None:
    """Log out through the account menu."""
    account_button(page, username).click()
    page.get_by_role("menuitem", name="Log out").click()
    expect(page.get_by_role("banner").get_by_role("link", name="Log in")).to_be_visible()


def account_button(page: Page, username: str) -> Locator:
    """Return the button that opens the account menu."""
    return page.get_by_role("button", name=f"Account of {username}")


def visible_image_url(picture: Locator) -> str:
    """Return the URL of an `<img>`, once it is visible and the browser has decoded it."""
    expect(picture).to_be_visible()
    picture.evaluate("image => image.decode()")
    assert picture.evaluate("image => image.naturalWidth") > 0
    return str(picture.evaluate("image => image.currentSrc"))
