"""The pages of docs/: what they say to type, paste or write is done, on the real server, and gives what they say."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterator
from configparser import ConfigParser
from dataclasses import fields, replace
from pathlib import Path

import pytest
import requests

from api.config import Config
from api.http.body import MAX_BODY_BYTES, MAX_UPLOAD_BYTES
from api.http.concurrency import MAX_QUEUED
from api.pictures.decode import MAX_AVIF_PIXELS, MAX_COEFFICIENTS, MAX_PIXELS, MAX_SIDE, MAX_WEBP_PIXELS
from api.pictures.render import SIZE_1X, SIZE_2X
from api.routes import ROUTES

from .doc_runner import START, Block, DocRunner, blocks_of
from .factories import PASSWORD, PHOTOS
from .live_server import ROOT
from .postgres import Databases
from .s3 import S3

DOCS = ROOT / "docs"
MIB = 1024 * 1024


def page_of(name: str) -> Path:
    return DOCS / f"{name}.md"


# --- Page by page ---


def test_what_the_page_on_react_says_comes_true(reader: DocRunner) -> None:
    reader.read(START, *blocks_of(page_of("react")))


def test_what_the_page_on_uploads_says_comes_true(reader: DocRunner, own_s3: S3) -> None:
    reader.places["9000"] = str(own_s3.port)
    own_s3.make_bucket("kennel-pictures")

    reader.read(START, *blocks_of(page_of("uploads")))


def test_the_quick_start_leads_to_a_first_dog_in_the_browser_too(reader: DocRunner) -> None:
    reader.read(START)
    page = reader.page
    page.goto(reader.here("http://localhost:8000/docs"))
    for path in ("/user/register", "/api/v1/dogs"):
        call = page.locator(".opblock-post").filter(has=page.locator(f"[data-path='{path}']"))
        call.locator(".opblock-summary").click()
        call.get_by_role("button", name="Try it out").click()
        call.get_by_role("button", name="Execute").click()
        assert call.locator(".live-responses-table .response-col_status").last.inner_text() == "201"

    reader.read(*blocks_of(page_of("quick-start")))

    assert list(reader.project.glob("dogs.sqlite*")) == list(reader.project.glob("uploads/*.webp")) == []
    assert (reader.project / "instance" / "secret_key").exists()


def test_the_page_on_httpie_has_every_call_of_the_api(reader: DocRunner) -> None:
    reader.read(START, *blocks_of(page_of("api-by-example")))

    called = set(re.findall(r"method=(\w+) route=(\S+) status=[23]", reader.server.output()))
    assert {(verb, path) for resource, path in ROUTES for verb in resource.methods} - called == set()


def test_a_resource_of_your_own_passes_the_checks_of_the_house(reader: DocRunner) -> None:
    reader.read(*blocks_of(page_of("adding-a-resource")))

    rooms = "api schemas models tests/test_access.py tests/test_walks.py"
    for check in (
        f"ruff check {rooms}",
        f"ruff format --check {rooms}",
        "mypy",
        "pytest tests/test_architecture.py tests/test_database.py -k 'verb or cycle or agree or twice or null'",
    ):
        reader.read(Block("sh", f".venv/bin/python -m {check}"))
    described = requests.get(f"{reader.server.url}/openapi.json", timeout=30).json()
    assert {"get", "post"} == set(described["paths"]["/api/v1/dogs/{dog_id}/walks"])


# --- Deployment ---


@pytest.fixture
def deployment() -> list[Block]:
    return blocks_of(page_of("deployment"))


def behind(nginx: Block, reader: DocRunner) -> Callable[..., requests.Response]:
    """Calls the server as the nginx of this block does for a browser at `address`."""
    (url,) = re.findall(r"proxy_pass (\S+);", reader.here(nginx.text))
    headers = dict(re.findall(r"proxy_set_header (\S+) (\S+);", nginx.text))

    def call(method: str, path: str, address: str = "203.0.113.7", **content: object) -> requests.Response:
        known = {"$host": "api.example.com", "$remote_addr": address, "$scheme": "https"}
        sent = {name: known[value] for name, value in headers.items()}
        origin = {"Origin": "https://app.example.com"}
        return requests.request(method, url + path, headers={**origin, **sent}, timeout=30, **content)

    return call


@pytest.fixture
def empty_postgresql(databases: Databases, reader: DocRunner) -> Iterator[str]:
    """An empty database on PostgreSQL, which is there where the page says."""
    url = databases.create()
    reader.places["postgresql://kennel:a-password@db.example.com/kennel"] = url
    yield url
    reader.stop()
    databases.drop(url)


def test_a_deployment_is_safe_and_comes_back_from_its_backup(
    reader: DocRunner, deployment: list[Block], empty_postgresql: str
) -> None:
    unit, nginx = (next(block for block in deployment if word in block.text) for word in ("[Unit]", "proxy_pass"))
    backup = next(number for number, block in enumerate(deployment) if " backup " in block.text)
    call = behind(nginx, reader)
    photo = (PHOTOS / "grace_hopper.jpg").read_bytes()

    def register(name: str) -> requests.Response:
        form = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
        return call("POST", "/user/register", data=form, files={"file": ("me.jpg", photo)})

    reader.read(*deployment[:backup])
    anna = register("Anna")
    assert "; Secure; HttpOnly; Path=/; SameSite=Lax" in anna.headers["Set-Cookie"]
    assert anna.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
    assert anna.headers["Strict-Transport-Security"]
    reader.read(deployment[backup])
    assert register("Bob").status_code == 201
    reader.read(*deployment[backup + 1 :])
    reader.read(unit)

    logins = [call("POST", "/user/login", json={"username": name, "password": PASSWORD}) for name in ("Anna", "Bob")]
    assert [login.status_code for login in logins] == [200, 401]
    assert call("GET", f"/profile_pics/{anna.json()['data']['image']}").status_code == 200
    assert {path.stat().st_mode & 0o077 for path in (reader.project / "backup").rglob("*")} == {0}
    assert f"DATABASE_URL={empty_postgresql}\n" in (reader.project / ".env").read_text()
    assert not (reader.project / "dogs.sqlite-wal").exists()  # nobody uses it any more


def test_a_deployment_tells_its_users_apart_and_logs_what_the_page_says(
    reader: DocRunner, deployment: list[Block]
) -> None:
    unit, nginx, settings = (
        next(block for block in deployment if word in block.text)
        for word in ("[Unit]", "proxy_pass", "TRUSTED_PROXIES=")
    )
    reader.read(settings, unit)
    call = behind(nginx, reader)

    statuses = [call("POST", "/user/register", json={}).status_code for _ in range(31)]
    assert statuses == [422] * 30 + [429]
    assert call("POST", "/user/register", "203.0.113.8", json={}).status_code == 422
    user = {"username": "Anna", "email": "anna@example.com", "password": PASSWORD}
    assert call("POST", "/user/register", "203.0.113.8", json=user).status_code == 201

    (said,) = re.findall(r"one line for each request, with (.*?)\.", page_of("deployment").read_text(), re.DOTALL)
    line = json.loads(reader.server.output().splitlines()[-1])
    assert set(re.findall(r"`(\w+)`", said)) == set(line)


def test_the_files_of_a_deployment_fit_the_server(deployment: list[Block]) -> None:
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


# --- What the page on React says of browsers ---


def paste(reader: DocRunner, script: str, address: str = "http://localhost:3000") -> None:
    """Paste a script with its claims into the console of a page on this address."""
    reader.read(Block("js", f"// On {address}\n{script}\n"))


def test_a_page_of_another_site_stays_nobody_even_where_it_is_listed(reader: DocRunner) -> None:
    (reader.project / ".env").write_text(reader.here("CORS_ORIGINS=http://localhost:3000,http://127.0.0.1:3000"))
    reader.read(START)
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
        paste(reader, script.replace("PATH", json.dumps(path)).replace("STATUS", status), address)


def test_a_foreign_page_can_log_nobody_out_nor_in(reader: DocRunner) -> None:
    reader.read(START)
    paste(
        reader,
        """
const api = "http://localhost:8000"
const me = JSON.stringify({username: "Anna", email: "anna@example.com", password: "correct horse"})
const json = {"Content-Type": "application/json"}
await fetch(`${api}/user/register`, {method: "POST", credentials: "include", headers: json, body: me})
""",
    )
    paste(  # what a form may send: no preflight asks before it
        reader,
        """
const api = "http://localhost:8000", method = "POST", mode = "no-cors", credentials = "include"
await fetch(`${api}/user/logout`, {method, mode, credentials})
const form = new URLSearchParams({username: "Anna", password: "correct horse"})
await fetch(`${api}/user/login`, {method, mode, credentials, body: form})
""",
        "http://127.0.0.1:3000",
    )
    paste(
        reader,
        """
const then = await fetch(`${api}/user/profile`, {credentials: "include"})
then.status                                   // → 200
""",
    )

    refused = re.findall(r"route=/user/(\w+) status=403", reader.server.output())
    assert refused == ["logout", "login"]


# --- All pages ---


def test_every_page_is_run_or_has_nothing_to_run() -> None:
    run = {"quick-start", "react", "api-by-example", "uploads", "deployment", "high-availability", "adding-a-resource"}

    assert {page.stem for page in DOCS.glob("*.md")} == run | {"architecture"}


def anchors_of(page: Path) -> set[str]:
    """The headings of a page as GitHub makes them the targets of links."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted(DOCS.glob("*.md"))], ids=lambda page: page.stem)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", page.read_text().replace("\n", " "))

    for path, anchor in links:
        target = page.parent / path if path else page
        assert target.exists(), path
        assert not anchor or anchor in anchors_of(target), anchor


def test_every_setting_that_a_page_names_is_one() -> None:
    named = {name for page in DOCS.glob("*.md") for name in re.findall(r"\b(?!AWS_)[A-Z]+_[A-Z_]+\b", page.read_text())}

    assert "CORS_ORIGINS" in named
    assert named <= {field.name for field in fields(Config)}


def test_the_page_on_uploads_has_the_limits_of_the_code() -> None:
    page = page_of("uploads").read_text()

    assert f"at most {MAX_UPLOAD_BYTES // MIB} MiB" in page
    assert f"at most {MAX_PIXELS // 10**6} megapixels" in page
    assert f"a WebP or AVIF {MAX_WEBP_PIXELS // 10**6}" in page
    assert MAX_WEBP_PIXELS == MAX_AVIF_PIXELS
    assert f"a progressive CMYK JPEG {MAX_COEFFICIENTS // 4 // 10**6}" in page
    assert f"{MAX_SIDE:,} pixels on a side" in page
    assert f"within {SIZE_1X[0]}×{SIZE_1X[1]} pixels, one within {SIZE_2X[0]}×{SIZE_2X[1]}" in page
    assert f"finds {MAX_QUEUED} waiting" in page


# --- The reader notices ---

FALSE = [
    Block("sh", "false\n"),
    Block("sh", "echo Rex\n", answer_kind="text", answer="Max\n"),
    Block("sh", "echo '{\"a\": 1}'\n", answer_kind="json", answer='{"a": 2}\n'),
    Block("js", '"Rex" // → "Max"\n'),
    Block("js", '"Rex"\n', answer_kind="json", answer='"Max"\n'),
    Block("js", 'throw new Error("no")\n'),
    Block("js", 'await fetch("http://localhost:8000")\n'),  # nobody answers
    Block("python", "pass\n", above="A file of no name:"),
    Block("diff", " There is no such line.\n+Another.\n", above="`README.md`:"),
    Block("json", "{}\n", above="An answer to nothing:"),
]


def test_a_false_page_fails(reader: DocRunner) -> None:
    for block in FALSE:
        with pytest.raises(AssertionError):
            reader.read(block)
    true = replace(FALSE[1], answer="Rex\n")
    reader.read(true)


def test_a_block_that_is_not_run_fails(tmp_path: Path) -> None:
    for hidden in ("```\nls\n```\n", "- A list:\n\n  ```sh\n  ls\n  ```\n"):
        page = tmp_path / f"{secrets.token_hex(4)}.md"
        page.write_text(f"{hidden}\n```sh\ntrue\n```\n")
        with pytest.raises(AssertionError):
            blocks_of(page)
