"""Runs a document as its reader would: commands in a shell, scripts in a browser's console, files where it puts them.

A block of `sh` is run by bash in a fresh copy of the project; one that starts the server is left running. A block of
`js` is pasted into the console of a page on http://localhost:3000, or of one on the address that its first line names
(`// On http://...`), after the blocks of `html` above it were put into that page. Below either, a block of `json` or
`text` is what it must give. In `js`, `// → value` claims what stands before it on its line.

A block of any other kind is the file that the line above it names: `diff` changes it, all else is its content. Of the
files that lie outside of the project, a service is started. Where the line above says to stop the server, it is.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from .factories import PHOTOS
from .live_server import ROOT, Server

BLOCK = re.compile(
    r"(?:^(?P<above>[^\n]+)\n\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```\n"
    r"(?:\n```(?P<answer_kind>json|text)\n(?P<answer>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)
SERVES = re.compile(r"make run|.*run\.py")
STOPS = re.compile(r"[Ss]top the server")
FILE = re.compile(r"`([\w./-]+)`[^`]*:$")
ADDRESS = re.compile(r"// On (http://\S+)\n")
CLAIM = re.compile(r"^( *)(\S.*?);? +// → (.+)$", re.MULTILINE)
# What differs from one run to the next.
VOLATILE = [
    (r"[0-9a-f]{32}", "<random>"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", "<moment>"),
    (r"[\w-]{6,}\.[\w-]{27}", "<cursor>"),
    (r"session=[^;]+", "session=<signed>"),
]
# What is made in the folder of a project while it runs, is tested or built.
MADE = (
    *(".git", ".venv", "node_modules", "dist", "__pycache__", ".*_cache", ".coverage*"),
    *("instance", "*.sqlite*", "*.webp", ".env"),
)
HTML = b"""<!doctype html><meta charset="utf-8"><title>A page of yours</title><link rel="icon" href="data:,"><body>
<script>
function claim(is, said) {
  [is, said] = [is, said].map(value => JSON.stringify(value))
  if (is !== said) throw new Error(`It is ${is} and not ${said}`)
}
</script>"""


@dataclass(frozen=True)
class Block:
    """A block of a document by its language, the line above it, and the answer that stands right below it."""

    kind: str
    text: str
    above: str = ""
    answer_kind: str = ""
    answer: str = ""


# What pages ask for that do not begin with it themselves.
START = Block("sh", "make run\n")


def blocks_of(document: Path) -> list[Block]:
    """The blocks of a document, from top to bottom."""
    text = document.read_text()
    blocks = [Block(**found.groupdict("")) for found in BLOCK.finditer(text)]
    fences = sum(4 if block.answer_kind else 2 for block in blocks)
    assert text.count("```") == fences, f"{document.name}: a block has no language, or is indented, and is not run"
    return blocks


def normalize_volatile(text: str) -> str:
    """A text without what differs from one run to the next."""
    for pattern, name in VOLATILE:
        text = re.sub(pattern, name, text)
    return text


def copy_project(to: Path) -> Path:
    """A copy of the project as it is before its first start, with what is installed in this Python's environment."""
    shutil.copytree(ROOT, to, ignore=shutil.ignore_patterns(*MADE))
    venv = to / ".venv"
    venv.mkdir()
    shutil.copy(f"{sys.prefix}/pyvenv.cfg", venv)
    for part in ("bin", "lib"):
        (venv / part).symlink_to(f"{sys.prefix}/{part}")
    for lock in ("requirements.txt", "requirements-dev.txt"):
        shutil.copy(ROOT / lock, venv)  # for `make`, which else would install them
    return to


class EmptyPageHandler(BaseHTTPRequestHandler):
    """Answers every path with the same empty page."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(HTML)))
        self.end_headers()
        self.wfile.write(HTML)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def serve_empty_pages() -> Iterator[int]:
    """A web site on this machine, for as long as the block lasts. Gives its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), EmptyPageHandler) as site:
        threading.Thread(target=site.serve_forever).start()
        try:
            yield site.server_port
        finally:
            site.shutdown()


class DocRunner:
    """Somebody who does what a document says, in a copy of the project and in a browser."""

    def __init__(self, project: Path, page: Page, site_port: int) -> None:
        self.project = project
        self.page = page
        self.pages: dict[str, Page] = {}
        self.server = Server(project, root=project)
        # The places in the documents, and where they are here.
        self.places = {"8000": str(self.server.port), "3000": str(site_port), "/srv/kennel": str(project)}
        (project / ".env").write_text(f"CORS_ORIGINS=http://localhost:{site_port}\n")
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
            "PATH": f"{self.commands()}:{os.environ['PATH']}",
            "HTTPIE_CONFIG_DIR": str(project / ".httpie"),
            "PYTHON": sys.executable,
            "PORT": self.places["8000"],
            "BCRYPT_LOG_ROUNDS": "10",
            "WEB_CONCURRENCY": "1",
        }

    def commands(self) -> Path:
        """A folder of commands: httpie as `http`, and a `node` that is of no use, so that no client is built here."""
        folder = self.project.parent / "bin"
        folder.mkdir()
        # --ignore-stdin: at a terminal httpie does not wait for a body, here it would.
        httpie = f'exec {sys.executable} -m httpie --check-status --ignore-stdin "$@"'
        for name, deed in {"http": httpie, "node": "exit 1"}.items():
            (folder / name).write_text(f"#!/bin/sh\n{deed}\n")
            (folder / name).chmod(0o755)
        return folder

    def here(self, text: str) -> str:
        """A text of the document with the places that it has here."""
        return replace_words(text, self.places)

    def there(self, text: str) -> str:
        """A text from here with the places that it has in the document."""
        return replace_words(text, {here: there for there, here in self.places.items()})

    def read(self, *blocks: Block) -> None:
        """Do what these blocks say, in their order."""
        for block in blocks:
            if STOPS.search(block.above):
                self.stop()
            match block.kind:
                case "sh" if SERVES.match(block.text):
                    self.serve(block)
                case "sh":
                    self.run(block)
                case "js":
                    self.paste(block)
                case "html":
                    self.show(block)
                case _:
                    self.write(block)

    def serve(self, block: Block) -> None:
        """Start the server, in place of the one that runs, and wait until it answers."""
        self.stop()
        with open(self.project / "log", "w") as log:
            self.server.process = subprocess.Popen(
                ["bash", "-ec", self.here(block.text)],
                cwd=self.project,
                env=self.environment,
                stdout=log,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        while not self.server.is_ready():
            assert self.server.process.poll() is None, f"{block.text}{self.server.output()}"
            time.sleep(0.02)  # another process: there is no event to wait for
        for line in block.answer.splitlines():
            assert line in self.there(self.server.output()), block.text

    def stop(self) -> None:
        """Stop the server where it runs."""
        if self.server.process:
            self.server.stop()
            self.server.kill()  # what is left of its group
            self.server.process = None

    def run(self, block: Block) -> None:
        """Run commands in a shell. They succeed, unless the answer below them is a failure of the API."""
        ran = subprocess.run(
            ["bash", "-ec", self.here(block.text)],
            cwd=self.project,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        output = self.there(ran.stdout)
        assert ran.returncode == (4 if is_failure(block) else 0), f"{block.text}{output}{ran.stderr}"
        if block.answer_kind == "json":
            assert json.loads(normalize_volatile(output)) == json.loads(normalize_volatile(block.answer)), block.text
        elif block.answer:
            assert normalize_volatile(output) == normalize_volatile(block.answer), block.text

    def paste(self, block: Block) -> None:
        """Paste a script into the console of its page. An answer is the value of its last line."""
        address = ADDRESS.match(block.text)
        page = self.page_on(address[1] if address else "http://localhost:3000")
        console = page.context.new_cdp_session(page)
        script = CLAIM.sub(r"\1claim(\2, \3)", self.here(block.text))
        # As the console of the developer tools does it: `await` works, and names last from one script to the next.
        options = {"expression": script, "replMode": True, "awaitPromise": True, "returnByValue": True}
        done = console.send("Runtime.evaluate", options)
        console.detach()
        assert "exceptionDetails" not in done, f"{block.text}{done['exceptionDetails']['exception']['description']}"
        if block.answer:
            output = self.there(json.dumps(done["result"].get("value")))
            assert json.loads(normalize_volatile(output)) == json.loads(normalize_volatile(block.answer)), block.text

    def page_on(self, address: str) -> Page:
        """The page on this address of the document, opened when it is needed first."""
        if address not in self.pages:
            page = self.pages[address] = self.page.context.new_page() if self.pages else self.page
            page.goto(self.here(address))
        return self.pages[address]

    def show(self, block: Block) -> None:
        """Put HTML into the page, and choose a photo wherever it asks for a file."""
        page = self.page_on("http://localhost:3000")
        page.evaluate("html => document.body.insertAdjacentHTML('beforeend', html)", block.text)
        for question in page.locator("input[type=file]").all():
            question.set_input_files(PHOTOS / "grace_hopper.jpg")

    def write(self, block: Block) -> None:
        """Write or change the file that is named above the block. Of those outside the project, start the service."""
        named = FILE.search(block.above)
        assert named, f"no file is named above this block:\n{block.text}"
        path = self.project / named[1]
        if not path.is_relative_to(self.project):
            started = re.findall(r"^ExecStart=(.*\n)", block.text, re.MULTILINE)
            self.read(*(Block("sh", command) for command in started))
            return
        if block.kind == "diff":
            for hunk in re.split(r"^@@\n", block.text, flags=re.MULTILINE):
                path.write_text(apply_hunk(path.read_text(), hunk))
        else:
            path.write_text(self.here(block.text))


def replace_words(text: str, words: dict[str, str]) -> str:
    """A text with these words replaced."""
    for word, other in words.items():
        text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", other, text)
    return text


def is_failure(block: Block) -> bool:
    """Whether the answer below this block is a failure of the API."""
    return block.answer_kind == "json" and re.search(r'"(code|status)": [45]\d\d', block.answer) is not None


def apply_hunk(text: str, hunk: str) -> str:
    """A text with its one place changed that the lines of a hunk without a plus stand for."""
    lines = [(line[:1], f"{line[1:]}\n") for line in hunk.splitlines()]
    before = "".join(line for sign, line in lines if sign != "+")
    after = "".join(line for sign, line in lines if sign != "-")
    assert text.count(before) == 1, f"there is not one place like this:\n{before}"
    return text.replace(before, after)


@pytest.fixture
def reader(system: None, tmp_path: Path, page: Page) -> Iterator[DocRunner]:
    """Somebody with a fresh copy of the project, and a browser."""
    with serve_empty_pages() as port:
        reader = DocRunner(copy_project(tmp_path / "kennel"), page, port)
        yield reader
        reader.stop()
