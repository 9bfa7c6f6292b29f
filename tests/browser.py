"""Fixtures for a real browser: Chromium, driven by Playwright, with a new profile for each test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

# The executables to look for, unless the environment variable CHROMIUM names one.
EXECUTABLES = ("chromium", "/usr/bin/chromium", "google-chrome")
# Chromium sends no requests but those of the pages under test.
CHROMIUM_ARGUMENTS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
]


def find_chromium() -> str:
    """Return the path of Chromium. Fail the test if it is not installed."""
    configured = os.environ.get("CHROMIUM")
    path = next(filter(None, map(shutil.which, [configured] if configured else EXECUTABLES)), None)
    if path is None:
        pytest.fail(
            f"CHROMIUM: no executable at {configured}."
            if configured
            else "Chromium is missing. Install it: sudo apt install chromium libatomic1",
            pytrace=False,
        )
    return path


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run headless Chromium within the block. `new_context()` of the browser opens an isolated profile."""
    # Chromium cannot use its sandbox as root, the usual user of containers.
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=[*CHROMIUM_ARGUMENTS, *sandbox])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def browser(system: None) -> Iterator[Browser]:
    """Chromium, shared by all tests.

    Playwright's event loop then runs in this thread, so `asyncio.run` needs another one.
    """
    expect.set_options(timeout=20_000)  # milliseconds; Playwright's default is too short for a busy machine
    with chromium() as instance:
        yield instance


@pytest.fixture
def console_errors() -> list[str]:
    """Error messages of the console of `page`. Chromium logs each 4xx and 5xx response too, so some are expected."""
    return []


@pytest.fixture
def page(browser: Browser, console_errors: list[str]) -> Iterator[Page]:
    """A page in a new profile. An uncaught JavaScript error fails the test."""
    uncaught: list[str] = []
    with browser.new_context() as context:
        page = context.new_page()
        page.on("pageerror", lambda error: uncaught.append(str(error)))
        page.on("console", lambda message: console_errors.append(message.text) if message.type == "error" else None)
        yield page
    assert uncaught == []
