"""The README and docs/: commands, scripts and files work as written, on the real server and in a browser."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from configparser import ConfigParser
from dataclasses import fields, replace
from io import StringIO
from pathlib import Path

import click
import pytest
import requests
from dotenv import dotenv_values
from flask import Flask
from playwright.sync_api import expect

from api.config import Config
from api.http.body import MAX_BODY_BYTES, MAX_UPLOAD_BYTES
from api.http.concurrency import MAX_QUEUED
from api.pictures.decode import MAX_COEFFICIENTS, MAX_PIXELS, MAX_PIXELS_OF, MAX_SIDE
from api.pictures.render import SIZE_1X, SIZE_2X
from api.routes import ROUTES

from .doc_runner import NODE_MODULES, START, Block, DocRunner, parse_blocks
from .factories import PASSWORD, PHOTOS
from .live_server import ROOT
from .postgres import Databases
from .react_client import NEEDS_NODE, is_listening
from .s3 import S3

DOCS = ROOT / "docs"
MIB = 1024 * 1024


def page_path(name: str) -> Path:
    return DOCS / f"{name}.md"


# In the order in which a new user might read them.
PAGES = [
    ROOT / "README.md",
    *map(
        page_path,
        ["quick-start", "api-by-example", "react", "uploads", "configuration", "adding-a-resource", "deployment"],
    ),
]
# Not followed as a whole: there is nothing to run, or it needs several machines (see test_deploy.py).
OTHER_PAGES = [page_path("architecture"), page_path("high-availability")]
# Commands of the tutorial that take minutes, or need Node.js. A test of their own runs them.
SLOW_COMMANDS = ("make client-types\n", "make test\nmake lint\n")


# --- Following the pages ---


@pytest.fixture
def s3_of_docs(doc_runner: DocRunner, own_s3: S3) -> S3:
    """The S3-compatible store of the documents, with an empty bucket."""
    doc_runner.local["9000"] = str(own_s3.port)
    own_s3.make_bucket("kennel-pictures")
    return own_s3


@pytest.fixture
def postgresql_of_docs(databases: Databases, doc_runner: DocRunner) -> Iterator[str]:
    """The PostgreSQL database of the documents, which is empty."""
    url = databases.create()
    doc_runner.local["postgresql://kennel:a-password@db.example.com/kennel"] = url
    yield url
    doc_runner.stop_server()
    databases.drop(url)


@pytest.mark.slow
@pytest.mark.usefixtures("s3_of_docs", "postgresql_of_docs")
@pytest.mark.parametrize("step", [pytest.param(1, id="reading_order"), pytest.param(-1, id="reverse_order")])
def test_pages_work_one_after_the_other(doc_runner: DocRunner, step: int) -> None:
    settings = doc_runner.project / ".env"

    for page in PAGES[::step]:
        before = settings.read_text()
        doc_runner.follow_page(page, without=SLOW_COMMANDS)
        if page.stem == "deployment":
            settings.write_text(before)  # that page has the settings of another machine


@pytest.mark.slow
def test_api_by_example_calls_every_verb(doc_runner: DocRunner) -> None:
    doc_runner.follow_page(page_path("api-by-example"))

    called = set(re.findall(r"method=(\w+) route=(\S+) status=[23]", doc_runner.server.output()))
    assert {(verb, path) for resource, path in ROUTES for verb in resource.methods} - called == set()


def test_quick_start_leads_to_a_dog_in_the_browser(doc_runner: DocRunner) -> None:
    doc_runner.follow(START)
    page = doc_runner.page
    page.goto(doc_runner.localize("http://localhost:8000/docs"))
    for path in ("/user/register", "/api/v1/dogs"):
        call = page.locator(".opblock-post").filter(has=page.locator(f"[data-path='{path}']"))
        call.locator(".opblock-summary").click()
        call.get_by_role("button", name="Try it out").click()
        call.get_by_role("button", name="Execute").click()
        assert call.locator(".live-responses-table .response-col_status").last.inner_text() == "201"

    doc_runner.follow_page(page_path("quick-start"))

    assert list(doc_runner.project.glob("dogs.sqlite*")) == list(doc_runner.project.glob("uploads/*.webp")) == []
    assert (doc_runner.project / "instance" / "secret_key").exists()


@pytest.mark.slow
@NEEDS_NODE
def test_tutorial_passes_all_tests_and_lint(doc_runner: DocRunner) -> None:
    doc_runner.use_node()

    doc_runner.follow(*parse_blocks(page_path("adding-a-resource")))

    document = requests.get(f"{doc_runner.server.url}/openapi.json", timeout=30).json()
    assert set(document["paths"]["/api/v1/dogs/{dog_id}/walks"]) == {"get", "post"}
    assert "/api/v1/walks/{walk_id}" in (doc_runner.project / "client" / "src" / "api" / "schema.d.ts").read_text()


@pytest.fixture
def react_app(doc_runner: DocRunner) -> Iterator[str]:
    """The URL of the app of the React page, as `npm run dev` serves it."""
    doc_runner.follow_page(page_path("react"))
    port = doc_runner.local["5173"]
    with open(doc_runner.react_app / "log", "w") as log:
        vite = subprocess.Popen(
            [NODE_MODULES / ".bin" / "vite", "--port", port, "--strictPort"],
            cwd=doc_runner.react_app,
            stdout=log,
            stderr=log,
        )
    try:
        while not is_listening(int(port)):
            assert vite.poll() is None, (doc_runner.react_app / "log").read_text()
            time.sleep(0.05)  # another process: there is no event to wait for
        yield f"http://localhost:{port}"
    finally:
        vite.terminate()
        vite.wait(timeout=30)


@NEEDS_NODE
def test_react_app_compiles_and_works(doc_runner: DocRunner, react_app: str) -> None:
    check = [NODE_MODULES / ".bin" / "tsc", "--project", "."]
    done = subprocess.run(check, cwd=doc_runner.react_app, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout

    page = doc_runner.page.context.new_page()
    page.context.clear_cookies()
    page.goto(react_app)
    page.get_by_placeholder("Username").fill("Rita")
    page.get_by_placeholder("Password").fill("wrong password")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_have_text("Username or Password is incorrect")
    page.get_by_placeholder("Password").fill("correct horse")
    page.get_by_role("button", name="Log in").click()
    page.get_by_placeholder("Name", exact=True).fill("Astor")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("alert").filter(has_text="1 to 80")).to_be_visible()
    page.get_by_placeholder("Breed").fill("Boxer")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("listitem").filter(has_text="Astor, Boxer")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()


def test_httpie_ignores_stdin_in_pipes() -> None:
    commands = [
        command
        for page in [*PAGES, *OTHER_PAGES]
        for block in parse_blocks(page)
        if block.kind == "sh"
        for command in block.text.replace("\\\n", " ").splitlines()
        if re.search(r"(^|\(|\s)http\s.*(\||\))", command)
    ]

    assert len(commands) > 10
    assert [command for command in commands if "--ignore-stdin" not in command] == []


# --- Deployment ---


@pytest.fixture
def deployment() -> list[Block]:
    return parse_blocks(page_path("deployment"))


def behind(nginx: Block, doc_runner: DocRunner) -> Callable[..., requests.Response]:
    """Return a function that calls the server as the nginx of this block does for a browser at `address`."""
    (url,) = re.findall(r"proxy_pass (\S+);", doc_runner.localize(nginx.text))
    headers = dict(re.findall(r"proxy_set_header (\S+) (\S+);", nginx.text))

    def call(method: str, path: str, address: str = "203.0.113.7", **content: object) -> requests.Response:
        known = {"$host": "api.example.com", "$remote_addr": address, "$scheme": "https"}
        sent = {name: known[value] for name, value in headers.items()}
        origin = {"Origin": "https://app.example.com"}
        return requests.request(method, url + path, headers={**origin, **sent}, timeout=30, **content)

    return call


def test_deployment_is_safe_and_restores_its_backup(
    doc_runner: DocRunner, deployment: list[Block], postgresql_of_docs: str
) -> None:
    unit, nginx = (next(block for block in deployment if word in block.text) for word in ("[Unit]", "proxy_pass"))
    backup = next(number for number, block in enumerate(deployment) if " backup " in block.text)
    call = behind(nginx, doc_runner)
    photo = (PHOTOS / "grace_hopper.jpg").read_bytes()

    def register(name: str) -> requests.Response:
        form = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
        return call("POST", "/user/register", data=form, files={"file": ("me.jpg", photo)})

    doc_runner.follow(*deployment[:backup])
    anna = register("Anna")
    assert "; Secure; HttpOnly; Path=/; SameSite=Lax" in anna.headers["Set-Cookie"]
    assert anna.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
    assert anna.headers["Strict-Transport-Security"]
    doc_runner.follow(deployment[backup])
    assert register("Bob").status_code == 201
    doc_runner.follow(*deployment[backup + 1 :])
    doc_runner.follow(unit)

    logins = [call("POST", "/user/login", json={"username": name, "password": PASSWORD}) for name in ("Anna", "Bob")]
    assert [login.status_code for login in logins] == [200, 401]
    assert call("GET", f"/profile_pics/{anna.json()['data']['image']}").status_code == 200
    assert {path.stat().st_mode & 0o077 for path in (doc_runner.project / "backup").rglob("*")} == {0}
    assert f"DATABASE_URL={postgresql_of_docs}\n" in (doc_runner.project / ".env").read_text()
    assert not (doc_runner.project / "dogs.sqlite-wal").exists()  # no connection is open


def test_deployment_limits_each_client_and_logs_the_fields_of_the_page(
    doc_runner: DocRunner, deployment: list[Block]
) -> None:
    unit, nginx, settings = (
        next(block for block in deployment if word in block.text)
        for word in ("[Unit]", "proxy_pass", "TRUSTED_PROXIES=")
    )
    doc_runner.follow(settings, unit)
    call = behind(nginx, doc_runner)

    statuses = [call("POST", "/user/register", json={}).status_code for _ in range(31)]
    assert statuses == [422] * 30 + [429]
    assert call("POST", "/user/register", "203.0.113.8", json={}).status_code == 422
    user = {"username": "Anna", "email": "anna@example.com", "password": PASSWORD}
    assert call("POST", "/user/register", "203.0.113.8", json=user).status_code == 201

    (listed,) = re.findall(r"one line for each request, with (.*?)\.", page_path("deployment").read_text(), re.DOTALL)
    line = json.loads(doc_runner.server.output().splitlines()[-1])
    assert set(re.findall(r"`(\w+)`", listed)) == set(line)


def test_deployment_files_match_the_limits_of_the_server(deployment: list[Block]) -> None:
    unit, nginx = (next(block.text for block in deployment if word in block.text) for word in ("[Unit]", "proxy_pass"))
    (megabytes,) = re.findall(r"client_max_body_size (\d+)m;", nginx)
    assert int(megabytes) * MIB > MAX_UPLOAD_BYTES + MAX_BODY_BYTES
    assert nginx.count("{") == nginx.count("}")
    parser = ConfigParser()
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(unit)
    service = parser["Service"]
    assert service["ReadWritePaths"] == service["WorkingDirectory"]
    assert service["ExecStart"] == f"{service['WorkingDirectory']}/.venv/bin/python run.py"


# --- Browsers ---


def paste(doc_runner: DocRunner, script: str, address: str = "http://localhost:3000") -> None:
    """Paste a script with claims into the console of a page on this address."""
    doc_runner.follow(Block("js", f"// On {address}\n{script}\n"))


def test_listed_page_of_another_site_stays_anonymous(doc_runner: DocRunner) -> None:
    (doc_runner.project / ".env").write_text(
        doc_runner.localize("CORS_ORIGINS=http://localhost:3000,http://127.0.0.1:3000")
    )
    doc_runner.follow(START)
    script = """
const api = "http://localhost:8000"
const send = (path, body) => fetch(api + path, {
  method: body ? "POST" : "GET", credentials: "include",
  headers: {"Content-Type": "application/json"}, body: body && JSON.stringify(body),
})
const login = {username: "Anna", password: "correct horse", email: "anna@example.com"}
const first = await send(PATH, login)
first.ok                                      // → true
const then = await send("/user/profile")
then.status                                   // → STATUS
"""
    for path, status, address in [
        ("/user/register", "200", "http://localhost:3000"),
        ("/user/login", "401", "http://127.0.0.1:3000"),
    ]:
        paste(doc_runner, script.replace("PATH", json.dumps(path)).replace("STATUS", status), address)


def test_page_of_another_site_cannot_log_in_or_out(doc_runner: DocRunner) -> None:
    doc_runner.follow(START)
    paste(
        doc_runner,
        """
const api = "http://localhost:8000"
const me = JSON.stringify({username: "Anna", email: "anna@example.com", password: "correct horse"})
const json = {"Content-Type": "application/json"}
await fetch(`${api}/user/register`, {method: "POST", credentials: "include", headers: json, body: me})
""",
    )
    paste(  # what a form may send: no preflight asks before it
        doc_runner,
        """
const api = "http://localhost:8000", method = "POST", mode = "no-cors", credentials = "include"
await fetch(`${api}/user/logout`, {method, mode, credentials})
const form = new URLSearchParams({username: "Anna", password: "correct horse"})
await fetch(`${api}/user/login`, {method, mode, credentials, body: form})
""",
        "http://127.0.0.1:3000",
    )
    paste(
        doc_runner,
        """
const then = await fetch(`${api}/user/profile`, {credentials: "include"})
then.status                                   // → 200
""",
    )

    refused = re.findall(r"route=/user/(\w+) status=403", doc_runner.server.output())
    assert refused == ["logout", "login"]


# --- All pages ---


def test_every_page_is_followed() -> None:
    assert {*PAGES, *OTHER_PAGES} == {ROOT / "README.md", *DOCS.glob("*.md")}


def anchors_of(page: Path) -> set[str]:
    """The headings of a page as GitHub makes them the targets of links."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted(DOCS.glob("*.md"))], ids=lambda page: page.stem)
def test_every_link_has_a_target(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", page.read_text().replace("\n", " "))

    for path, anchor in links:
        target = page.parent / path if path else page
        assert target.exists(), path
        assert not anchor or anchor in anchors_of(target), anchor


def test_every_setting_of_a_page_exists() -> None:
    text = "".join(page.read_text() for page in DOCS.glob("*.md"))
    named = set(re.findall(r"\b(?!AWS_|AF_)[A-Z]+_[A-Z_]+\b", text))

    assert "CORS_ORIGINS" in named
    assert named - {"VITE_API_URL"} <= {field.name for field in fields(Config)}
    assert "VITE_API_URL" in (ROOT / "client" / "src" / "api" / "url.ts").read_text()


def test_settings_in_blocks_are_valid() -> None:
    blocks = [block for page in PAGES for block in parse_blocks(page) if block.kind == "ini" and ".env`" in block.above]

    assert len(blocks) >= 5
    for block in blocks:
        settings = dotenv_values(stream=StringIO(block.text))
        Config.load({name: value for name, value in settings.items() if not name.startswith("AWS_")})


def test_configuration_page_lists_every_setting() -> None:
    rows = re.findall(
        r"^\| `([A-Z_]+)` \| (?:`(.*?)`)? ?\| (.*) \|$", page_path("configuration").read_text(), re.MULTILINE
    )

    assert rows == [
        (item.name, item.default, item.metadata["meaning"]) for item in fields(Config) if item.name != "TESTING"
    ]


def test_configuration_page_lists_every_command(app: Flask) -> None:
    listed = set(re.findall(r"^\| `([a-z]+(?: [a-z]+)?)\b", page_path("configuration").read_text(), re.MULTILINE))
    commands = {
        " ".join([name, *path])
        for name, command in app.cli.commands.items()
        for path in ([[sub] for sub in command.commands] if isinstance(command, click.Group) else [[]])
    }

    assert listed == commands


def test_uploads_page_has_the_limits_of_the_code() -> None:
    page = page_path("uploads").read_text()

    assert f"at most {MAX_UPLOAD_BYTES // MIB} MiB" in page
    assert f"at most {MAX_PIXELS // 10**6} megapixels" in page
    assert f"a WebP or AVIF {MAX_PIXELS_OF['WEBP'] // 10**6}, a HEIC {MAX_PIXELS_OF['HEIF'] // 10**6}" in page
    assert MAX_PIXELS_OF["WEBP"] == MAX_PIXELS_OF["AVIF"]
    assert f"a progressive CMYK JPEG {MAX_COEFFICIENTS // 4 // 10**6}" in page
    assert f"{MAX_SIDE:,} pixels on a side" in page
    assert f"within {SIZE_1X[0]}×{SIZE_1X[1]} pixels, one within {SIZE_2X[0]}×{SIZE_2X[1]}" in page
    assert f"finds {MAX_QUEUED} waiting" in page


# --- The runner itself ---

WRONG = [
    Block("sh", "false\n"),
    Block("sh", "echo Rex\n", answer_kind="text", answer="Max\n"),
    Block("sh", "echo '{\"a\": 1}'\n", answer_kind="json", answer='{"a": 2}\n'),
    Block("js", '"Rex" // → "Max"\n'),
    Block("js", '"Rex"\n', answer_kind="json", answer='"Max"\n'),
    Block("js", 'throw new Error("no")\n'),
    Block("js", 'await fetch("http://localhost:8000")\n'),  # no server runs
    Block("python", "pass\n", above="A file of no name:"),
    Block("diff", " There is no such line.\n+Another.\n", above="`README.md`:"),
    Block("json", "{}\n", above="An answer to nothing:"),
]


def test_wrong_block_fails(doc_runner: DocRunner) -> None:
    for block in WRONG:
        with pytest.raises(AssertionError):
            doc_runner.follow(block)
    true = replace(WRONG[1], answer="Rex\n")
    doc_runner.follow(true)


def test_block_that_would_not_be_followed_fails(tmp_path: Path) -> None:
    for hidden in ("```\nls\n```\n", "- A list:\n\n  ```sh\n  ls\n  ```\n"):
        page = tmp_path / f"{secrets.token_hex(4)}.md"
        page.write_text(f"{hidden}\n```sh\ntrue\n```\n")
        with pytest.raises(AssertionError):
            parse_blocks(page)
