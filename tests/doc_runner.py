"""Runs the documentation as its reader would: commands in a shell, scripts in a browser's console, files on disk.

The language of a block says what happens to it:

- `sh` is run by bash in a fresh copy of the project. Variables last from one block of a page to the next. A block that
  starts the server leaves it running.
- `js` is pasted into the console of a page on http://localhost:3000, or on the address that its first line names
  (`// On http://...`). `// → value` asserts the value of the expression before it.
- `html` is inserted into that page.
- `diff` changes the file that the paragraph above names. A block of `ini` for a `.env` sets these variables in it. Any
  other block is the content of the file that the paragraph above names. Files outside the project are not written;
  services among them are started.

A block of `json` or `text` right below is the expected output. "Stop the server" in the paragraph above stops it.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from .factories import PHOTOS
from .live_server import ROOT, Server, free_port

NODE_MODULES = ROOT / "client" / "node_modules"
BLOCK = re.compile(
    r"(?:^(?P<above>(?:(?!```)[^\n]+\n)+)\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```\n"
    r"(?:\n```(?P<answer_kind>json|text)\n(?P<answer>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)
STARTS_SERVER = re.compile(r"make run|.*run\.py")
CLONES = re.compile(r"git clone .*\ncd .*\n")  # which `copy_project` has done
STOPS_SERVER = re.compile(r"[Ss]top\s+the\s+server")
FILE = re.compile(r"`([\w./-]+)`[^`]*:\n?$")
ADDRESS = re.compile(r"// On (http://\S+)\n")
CLAIM = re.compile(r"^( *)(\S.*?);? +// → (.+)$", re.MULTILINE)
# The environment variables of this process that the commands of a page do not get.
TEST_VARIABLES = ("COV_", "FLASK_SKIP_DOTENV", "MAKE", "PYTEST_")
# What differs from one run to the next, on a database that other pages have used.
VOLATILE = [
    (r"[0-9a-f]{32}", "<random>"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", "<timestamp>"),
    (r"[\w-]{6,}\.[\w-]{27}", "<cursor>"),
    (r"kennel_session=[^;]+", "kennel_session=<signed>"),
    (r'("(?:\w+_)?id": ?)\d+', r'\1"<id>"'),
    (r'(etag: ")\d+', r"\1<id>"),
    (r"(user_id=)\d+", r"\1<id>"),
    (r"\d+(?= copied)", "<count>"),
]
# Files that are made in the folder of a project while it runs, is tested or built.
GENERATED = (
    *(".git", ".venv", "node_modules", "dist", "__pycache__", ".*_cache", ".coverage*"),
    *("instance", "*.sqlite*", "*.webp", ".env", "*.tar"),
)
# A React app as `npm create vite@latest my-app -- --template react-ts` makes it. TypeScript writes nothing.
VITE_APP = {
    "index.html": '<!doctype html><div id="root"></div><script type="module" src="/src/main.tsx"></script>\n',
    "vite.config.ts": """\
import react from "@vitejs/plugin-react"
import { defineConfig } from "vite"

export default defineConfig({ plugins: [react()], cacheDir: "vite-cache" })
""",
    "tsconfig.json": """\
{
  "compilerOptions": {
    "target": "es2023",
    "lib": ["ES2023", "DOM"],
    "module": "esnext",
    "types": ["vite/client"],
    "skipLibCheck": true,
    "moduleResolution": "bundler",
    "allowImportingTsExtensions": true,
    "verbatimModuleSyntax": true,
    "moduleDetection": "force",
    "noEmit": true,
    "strict": true,
    "jsx": "react-jsx",
    "noUnusedLocals": true,
    "noUnusedParameters": true,
    "erasableSyntaxOnly": true,
    "noFallthroughCasesInSwitch": true
  },
  "include": ["src"]
}
""",
}
HTML = b"""<!doctype html><meta charset="utf-8"><title>Your page</title><link rel="icon" href="data:,"><body>
<script>
function claim(actual, expected) {
  [actual, expected] = [actual, expected].map(value => JSON.stringify(value))
  if (actual !== expected) throw new Error(`${actual} is not ${expected}`)
}
</script>"""


@dataclass(frozen=True)
class Block:
    """A block of a document: its language and content, the paragraph above it, and the expected output below it."""

    kind: str
    text: str
    above: str = ""
    answer_kind: str = ""
    answer: str = ""


START = Block("sh", "make run\n")


def parse_blocks(document: Path) -> list[Block]:
    """Return the blocks of a document, from top to bottom."""
    text = document.read_text()
    blocks = [Block(**found.groupdict("")) for found in BLOCK.finditer(text)]
    fences = sum(4 if block.answer_kind else 2 for block in blocks)
    assert text.count("```") == fences, f"{document.name}: a block has no language, or is indented, and is not run"
    return blocks


def normalize_volatile(text: str) -> str:
    """Return the text with placeholders for what differs from one run to the next."""
    for pattern, name in VOLATILE:
        text = re.sub(pattern, name, text)
    return text


def copy_project(target: Path) -> Path:
    """Copy the project as it is before its first start, with the packages installed for this Python."""
    shutil.copytree(ROOT, target, ignore=shutil.ignore_patterns(*GENERATED))
    venv = target / ".venv"
    venv.mkdir()
    shutil.copy(f"{sys.prefix}/pyvenv.cfg", venv)
    for part in ("bin", "lib"):
        (venv / part).symlink_to(f"{sys.prefix}/{part}")
    for lock in ("requirements.txt", "requirements-dev.txt"):
        shutil.copy(ROOT / lock, venv)  # for `make`, which would install them otherwise
    return target


class EmptyPageHandler(BaseHTTPRequestHandler):
    """Answers every path with the same empty page."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(HTML)))
        self.end_headers()
        self.wfile.write(HTML)

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@contextmanager
def serving_empty_pages() -> Iterator[int]:
    """Serve a web site on this machine. Yields its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), EmptyPageHandler) as site:
        threading.Thread(target=site.serve_forever).start()
        try:
            yield site.server_port
        finally:
            site.shutdown()


class DocRunner:
    """Follows documents in a copy of the project and in a browser."""

    def __init__(self, project: Path, page: Page, site_port: int) -> None:
        self.project = project
        self.react_app = project.parent / "my-app"
        self.page = page
        self.tabs: dict[str, Page] = {}
        self.server = Server(project, root=project)
        # Addresses and paths in the documents, and the ones that stand for them in this test.
        self.local = {
            "8000": str(self.server.port),
            "3000": str(site_port),
            "5173": str(free_port()),
            "/srv/kennel": str(project),
        }
        origins = ",".join(f"http://localhost:{self.local[port]}" for port in ("3000", "5173"))
        (project / ".env").write_text(f"CORS_ORIGINS={origins}\n")
        self.shell_variables = project.parent / "variables"
        # httpie waits for a body if its input is not a terminal.
        self.terminal = os.openpty()
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(TEST_VARIABLES)},
            "PATH": f"{self.add_commands()}:{os.environ['PATH']}",
            "HTTPIE_CONFIG_DIR": str(project.parent / "httpie"),
            "PYTHON": sys.executable,
            "PORT": self.local["8000"],
            "BCRYPT_LOG_ROUNDS": "10",
            "WEB_CONCURRENCY": "1",
        }

    def add_commands(self) -> Path:
        """Return a folder of commands: httpie, and stand-ins for those of Node.js, which would need a network.

        `node` fails, so that `make` leaves out the client. `npm create` makes a Vite app with the packages of the
        client, which is what `npm install` would add to it, and `npx` runs the programs of these packages.
        """
        folder = self.project.parent / "bin"
        template = self.project.parent / "vite-app"
        (template / "src").mkdir(parents=True)
        for name, text in VITE_APP.items():
            (template / name).write_text(text)
        (template / "node_modules").symlink_to(NODE_MODULES)
        folder.mkdir()
        for name, script in {
            "http": f'exec {sys.executable} -m httpie --check-status "$@"',
            "node": "exit 1",
            "npm": f'[ "$1" != create ] || cp -R {template} my-app',
            "npx": f'export PATH={shlex.quote(os.environ["PATH"])}; exec {NODE_MODULES}/.bin/"${{1%@*}}" "${{@:2}}"',
        }.items():
            (folder / name).write_text(f"#!/bin/bash\n{script}\n")
            (folder / name).chmod(0o755)
        return folder

    def use_node(self) -> None:
        """Use the real Node.js, and the packages of the client, so that `make` includes the client."""
        for name in ("node", "npm", "npx"):
            (self.project.parent / "bin" / name).unlink()
        client = self.project / "client"
        (client / "node_modules").symlink_to(NODE_MODULES)
        os.utime(client / "package-lock.json", (0, 0))  # older than the packages, so that `make` does not install them

    def close(self) -> None:
        """Stop the server, and close the terminal."""
        self.stop_server()
        for descriptor in self.terminal:
            os.close(descriptor)

    def localize(self, text: str) -> str:
        """Return a text of a document with the addresses and paths of this test."""
        return replace_words(text, self.local)

    def delocalize(self, text: str) -> str:
        """Return an output with the addresses and paths of the documents."""
        return replace_words(text, {local: documented for documented, local in self.local.items()})

    def follow_page(self, document: Path, without: Collection[str] = ()) -> None:
        """Follow a document `without` some commands, with the server running, in a new shell and new tabs."""
        self.shell_variables.unlink(missing_ok=True)
        for tab in self.tabs.values():
            tab.goto("about:blank")  # which ends the names that scripts have declared
        self.tabs.clear()
        try:
            self.follow(START, *(block for block in parse_blocks(document) if block.text not in without))
        except AssertionError as error:
            error.add_note(f"on the page {document.name}")
            raise

    def follow(self, *blocks: Block) -> None:
        """Follow these blocks, in their order."""
        for block in blocks:
            if STOPS_SERVER.search(block.above):
                self.stop_server()
            block = replace(block, text=CLONES.sub("", block.text))
            match block.kind:
                case "sh" if STARTS_SERVER.match(block.text):
                    self.start_server(block)
                case "sh":
                    self.run_shell(block)
                case "js":
                    self.run_script(block)
                case "html":
                    self.insert_html(block)
                case _:
                    self.write_file(block)

    def start_server(self, block: Block) -> None:
        """Start the server instead of the one that runs, and wait until it responds."""
        self.stop_server()
        with open(self.project / "log", "w") as log:
            self.server.process = subprocess.Popen(
                ["bash", "-ec", self.localize(block.text)],
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
            assert line in self.delocalize(self.server.output()), block.text

    def stop_server(self) -> None:
        """Stop the server if it runs."""
        if self.server.process:
            self.server.stop()
            self.server.kill()  # the rest of its process group
            self.server.process = None

    def run_shell(self, block: Block) -> None:
        """Run commands in a shell. They succeed, unless the expected output is a failure of the API."""
        variables = shlex.quote(str(self.shell_variables))
        restore = f"set -a; [ ! -e {variables} ] || . {variables}; trap 'export -p >{variables}' EXIT\n"
        done = subprocess.run(
            ["bash", "-ec", f"{restore}{self.localize(block.text)}"],
            cwd=self.project,
            env=self.environment,
            stdin=self.terminal[1],
            capture_output=True,
            text=True,
            timeout=1800,
            check=False,
        )
        output = self.delocalize(done.stdout)
        assert done.returncode == (4 if is_failure(block) else 0), f"{block.text}{output}{done.stderr}"
        if block.answer_kind == "json":
            assert json.loads(normalize_volatile(output)) == json.loads(normalize_volatile(block.answer)), block.text
        elif block.answer:
            assert normalize_volatile(output) == normalize_volatile(block.answer), block.text

    def run_script(self, block: Block) -> None:
        """Paste a script into the console of its page. The expected output is the value of its last line."""
        address = ADDRESS.match(block.text)
        page = self.tab(address[1] if address else "http://localhost:3000")
        console = page.context.new_cdp_session(page)
        script = CLAIM.sub(r"\1claim(\2, \3)", self.localize(block.text))
        # As the console of the developer tools does it: `await` works, and names last from one script to the next.
        options = {"expression": script, "replMode": True, "awaitPromise": True, "returnByValue": True}
        done = console.send("Runtime.evaluate", options)
        console.detach()
        assert "exceptionDetails" not in done, f"{block.text}{done['exceptionDetails']['exception']['description']}"
        if block.answer:
            output = self.delocalize(json.dumps(done["result"].get("value")))
            assert json.loads(normalize_volatile(output)) == json.loads(normalize_volatile(block.answer)), block.text

    def tab(self, address: str) -> Page:
        """Return the tab with this address of the document, opened when it is first needed."""
        if address not in self.tabs:
            tab = self.tabs[address] = self.page.context.new_page() if self.tabs else self.page
            tab.goto(self.localize(address))
        return self.tabs[address]

    def insert_html(self, block: Block) -> None:
        """Insert HTML into the page, and choose a photo in each file input."""
        page = self.tab("http://localhost:3000")
        page.evaluate("html => document.body.insertAdjacentHTML('beforeend', html)", block.text)
        for file_input in page.locator("input[type=file]").all():
            file_input.set_input_files(PHOTOS / "grace_hopper.jpg")

    def write_file(self, block: Block) -> None:
        """Write or change the file that is named above the block. Of those outside the project, start the service."""
        named = FILE.search(block.above)
        assert named, f"no file is named above this block:\n{block.text}"
        path = (self.react_app if block.kind in ("ts", "tsx") else self.project) / named[1]
        if not path.is_relative_to(self.project.parent):
            started = re.findall(r"^ExecStart=(.*\n)", block.text, re.MULTILINE)
            self.follow(*(Block("sh", command) for command in started))
        elif block.kind == "diff":
            for hunk in re.split(r"^@@\n", block.text, flags=re.MULTILINE):
                path.write_text(apply_hunk(path.read_text(), hunk))
        elif path.name == ".env":
            path.write_text(set_variables(path.read_text() if path.exists() else "", self.localize(block.text)))
        else:
            path.write_text(self.localize(block.text))


def replace_words(text: str, words: dict[str, str]) -> str:
    """Return the text with these words replaced."""
    for word, other in words.items():
        text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", other, text)
    return text


def is_failure(block: Block) -> bool:
    """Return whether the expected output of a block is a failure of the API."""
    return block.answer_kind == "json" and re.search(r'"(code|status)": [45]\d\d', block.answer) is not None


def set_variables(env_file: str, settings: str) -> str:
    """Return the text of a `.env` with these settings, each in place of the one of the same name."""
    names = re.findall(r"^(\w+)=", settings, re.MULTILINE)
    kept = [line for line in env_file.splitlines(keepends=True) if line.partition("=")[0] not in names]
    return "".join(kept) + settings


def apply_hunk(text: str, hunk: str) -> str:
    """Return the text with the only place changed that matches the lines of the hunk without a plus."""
    lines = [(line[:1], f"{line[1:]}\n") for line in hunk.splitlines()]
    before = "".join(line for sign, line in lines if sign != "+")
    after = "".join(line for sign, line in lines if sign != "-")
    assert text.count(before) == 1, f"not exactly one place matches:\n{before}"
    return text.replace(before, after)


@pytest.fixture
def doc_runner(system: None, tmp_path: Path, page: Page) -> Iterator[DocRunner]:
    """A runner with a fresh copy of the project, and a browser."""
    with serving_empty_pages() as port:
        runner = DocRunner(copy_project(tmp_path / "kennel"), page, port)
        try:
            yield runner
        finally:
            runner.close()
