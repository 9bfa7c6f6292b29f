"""A real browser: Chromium, driven by Playwright, with a fresh page for each test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

# Where Chromium is, unless CHROMIUM names another.
NAMES = ("chromium", "/usr/bin/chromium", "google-chrome")
# No sound of its own: it speaks to nobody but the pages under test.
ARGUMENTS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
]


def chromium() -> str:
    """The path of Chromium. Fails the test where there is none."""
    wanted = os.environ.get("CHROMIUM")
    found = next(filter(None, map(shutil.which, [wanted] if wanted else NAMES)), None)
    if found is None:
        pytest.fail(
            f"CHROMIUM: there is no program at {wanted}."
            if wanted
            else "Chromium is missing. Install it: sudo apt install chromium libatomic1",
            pytrace=False,
        )
    return found


@contextmanager
def launched() -> Iterator[Browser]:
    """Chromium without a window, for the block. Its `new_context()` is a profile of its own, as another user has it."""
    # Chromium refuses its sandbox to root, as whom containers run.
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium(), args=[*ARGUMENTS, *sandbox])
        yield running
        running.close()


@pytest.fixture(scope="session")
def browser(system: None) -> Iterator[Browser]:
    """Chromium, for all tests.

    From here on Playwright's event loop runs in this thread: `asyncio.run` needs another thread.
    """
    expect.set_options(timeout=20_000)  # in milliseconds: on a busy machine a page takes longer than Playwright thinks
    with launched() as running:
        yield running


@pytest.fixture
def console_errors() -> list[str]:
    """What `page` has written to its console as errors: also each answer of 400 and more, so not all are faults."""
    return []


@pytest.fixture
def page(browser: Browser, console_errors: list[str]) -> Iterator[Page]:
    """A page in a fresh profile. An error in it that nobody caught fails the test."""
    uncaught: list[str] = []
    with browser.new_context() as context:
        page = context.new_page()
        page.on("pageerror", lambda error: uncaught.append(str(error)))
        page.on("console", lambda message: console_errors.append(message.text) if message.type == "error" else None)
        yield page
    assert uncaught == []
