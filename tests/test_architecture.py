"""The house: who may know whom, what happens at import, how long a verb is, and what is in which place."""

from __future__ import annotations

import ast
import json
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from .live_server import ROOT

ROOMS = ("api", "schemas", "models")
# What the house is made of, at its top.
HOUSE = (
    "README.md",
    "Makefile",
    "pyproject.toml",
    "requirements.txt",
    "requirements-dev.txt",
    "run.py",
    "api/__init__.py",
    "api/config.py",
    "api/routes.py",
    "api/resources/base.py",
    "api/http/errors.py",
    "api/openapi.py",
    "api/security/authentication.py",
    "api/security/origins.py",
    "api/security/rate_limits.py",
    "api/pictures/store.py",
    "api/cli/__init__.py",
    "schemas/__init__.py",
    "models/__init__.py",
    "models/migrations/__init__.py",
    "uploads/.gitkeep",
    "tests/conftest.py",
    "tests/factories.py",
    "tests/test_access.py",
    "bench",
    "client/package.json",
    "docs",
)
# What stands for the request that is being answered.
OF_THE_REQUEST = {"request", "session", "g", "current_app", "current_user", "has_request_context"}
VERBS = {"get", "post", "put", "patch", "delete"}


def sources(room: str) -> list[Path]:
    """The code of a room, migrations too."""
    return sorted((ROOT / room).rglob("*.py"))


def module_of(path: Path) -> str:
    """`api/resources/dogs.py` as `api.resources.dogs`, `api/__init__.py` as `api`."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def absolute(node: ast.ImportFrom, path: Path) -> str:
    """The module that a `from ... import` names, its dots resolved."""
    if not node.level:
        return node.module or ""
    package = module_of(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    package = package[: len(package) - node.level + 1]
    return ".".join([*package, *([node.module] if node.module else [])])


def imports_of(path: Path) -> Iterator[tuple[str, str]]:
    """Every import of a file, those inside functions too, as module and name; the name is empty for a whole module."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((absolute(node, path), alias.name) for alias in node.names)


def roots_of(room: str) -> set[str]:
    """The packages that a room imports from, at their top."""
    return {module.partition(".")[0] for path in sources(room) for module, _ in imports_of(path)}


def classes_of(path: Path) -> Iterator[ast.ClassDef]:
    return (node for node in ast.walk(tree_of(path)) if isinstance(node, ast.ClassDef))


# --- Who knows whom ---


@pytest.mark.parametrize(
    ("room", "strangers"),
    [
        ("schemas", {"api", "models", "run", "tests", "flask", "flask_login", "flask_restful", "peewee", "playhouse"}),
        ("models", {"api", "schemas", "run", "tests", "flask", "flask_restful", "marshmallow"}),
        ("api", {"run", "tests", "bench"}),
    ],
)
def test_a_room_imports_nothing_of_the_rooms_above_or_beside_it(room: str, strangers: set[str]) -> None:
    assert roots_of(room) & strangers == set()
    assert sources(room)


@pytest.mark.parametrize("room", ["schemas", "models"])
def test_nothing_below_api_knows_a_request(room: str) -> None:
    names = {
        f"{module_of(path)}: {name or module}"
        for path in sources(room)
        for module, name in imports_of(path)
        if module.startswith(("flask", "werkzeug")) and name in {"", *OF_THE_REQUEST}
    }

    assert names == set()


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_has_no_import_cycle(room: str) -> None:
    modules = {module_of(path) for path in sources(room)}
    # `from . import auth` and `from .auth import log_in` both lead to `api.auth`.
    graph = {
        module_of(path): {
            f"{module}.{name}" if f"{module}.{name}" in modules else module for module, name in imports_of(path)
        }
        & modules
        for path in sources(room)
    }

    assert any(graph.values())
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


@pytest.mark.parametrize("room", [*ROOMS, "run.py"])
def test_nothing_is_imported_inside_a_function(room: str) -> None:
    paths = sources(room) or [ROOT / room]
    inside = {
        f"{module_of(path)}:{node.lineno}"
        for path in paths
        for function in ast.walk(tree_of(path))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }

    assert inside == set()


# --- What happens at import ---

# Imports and prints, as JSON, what happened meanwhile: connections, files written, and our files read that are no code.
WATCHED_IMPORT = """
import json, os, sys, threading
seen = []
def watch(event, arguments):
    if event in ("sqlite3.connect", "socket.__new__", "subprocess.Popen", "os.mkdir", "os.remove", "os.rename"):
        seen.append([event, str(arguments[0])])
    elif event == "open" and isinstance(arguments[0], str):
        path, mode, flags = arguments
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        ours = path.startswith({root!r}) and not path.startswith({venv!r}) and not path.endswith((".py", ".pyc"))
        if writes or ours:
            seen.append([event, path])
sys.addaudithook(watch)
handles = set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()
{statement}
after = set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()
print(json.dumps([seen, sorted(after - handles), threading.active_count(), os.listdir(".")]))
"""


def watched(statement: str, folder: Path) -> tuple[list[list[str]], list[str], int, list[str]]:
    """What a statement opens, the handles it keeps, the threads there are then, and the files in its folder."""
    code = WATCHED_IMPORT.format(root=f"{ROOT}/", venv=f"{ROOT}/.venv/", statement=statement)
    # -B: compiled code is written by Python itself and is not meant.
    command = [sys.executable, "-B", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return tuple(json.loads(done.stdout))


@pytest.mark.system
@pytest.mark.parametrize(
    "modules", ["api, models, schemas", "api.routes, api.cli, api.security.rate_limits", "models.migrations"]
)
def test_an_import_opens_no_file_no_connection_and_no_thread(tmp_path: Path, modules: str) -> None:
    assert watched(f"import {modules}", tmp_path) == ([], [], 1, [])


@pytest.mark.system
def test_create_app_opens_nothing_but_its_settings(tmp_path: Path) -> None:
    settings = {
        "DATABASE_URL": f"sqlite:///{tmp_path / 'dogs.sqlite'}",
        "UPLOADS_URL": str(tmp_path / "uploads"),
        "SECRET_KEY": "a key for the tests, which is no secret",
    }

    opened, handles, threads, files = watched(f"import api; app = api.create_app({settings!r})", tmp_path)

    assert {Path(path).name for event, path in opened} <= {".env"}
    assert (handles, threads, files) == ([], 1, [])


@pytest.mark.system
def test_the_watch_itself_sees_what_is_opened(tmp_path: Path) -> None:
    statement = "import sqlite3; db = sqlite3.connect('dogs.sqlite'); db.execute('CREATE TABLE t (a)')"

    opened, _, _, files = watched(statement, tmp_path)

    assert opened == [["sqlite3.connect", "dogs.sqlite"]]
    assert files == ["dogs.sqlite"]


# --- Verbs ---


def verbs() -> list[tuple[str, ast.FunctionDef]]:
    """Every verb of every resource, with its name."""
    return [
        (f"{kind.name}.{node.name}", node)
        for path in sources("api/resources")
        for kind in classes_of(path)
        for node in kind.body
        if isinstance(node, ast.FunctionDef) and node.name in VERBS
    ]


def lines_of(verb: ast.FunctionDef) -> int:
    """How many lines a verb's deed has: neither its signature nor its docstring."""
    deed = verb.body[1:] if ast.get_docstring(verb) else verb.body
    return deed[-1].end_lineno - deed[0].lineno + 1 if deed else 0


def test_every_verb_has_a_docstring_whose_first_line_is_a_sentence() -> None:
    summaries = {name: (ast.get_docstring(verb) or "").split("\n")[0] for name, verb in verbs()}

    assert [name for name, summary in summaries.items() if not re.fullmatch(r"[A-Z].{5,}\.", summary)] == []


def test_every_verb_is_short() -> None:
    lengths = {name: lines_of(verb) for name, verb in verbs()}

    assert len(lengths) > 15
    assert {name: length for name, length in lengths.items() if length > 15} == {}
    assert statistics.median(lengths.values()) <= 5


def test_no_verb_catches_exceptions() -> None:
    catching = [name for name, verb in verbs() if any(isinstance(node, ast.Try) for node in ast.walk(verb))]

    assert catching == []


# --- Places and words ---


@pytest.mark.parametrize("name", HOUSE)
def test_what_the_house_names_is_there(name: str) -> None:
    place = ROOT / name

    assert place.is_file() or (place.is_dir() and any(place.iterdir()))


# What is made while it runs or is tested, and is not the project.
MADE = {
    ".git",
    ".venv",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    "__pycache__",
    "dist",
    "instance",
    "node_modules",
    "screenshots",
}


def project_files() -> list[Path]:
    """The files of the project, in a checkout and in a plain copy of one."""
    files = [path for path in ROOT.rglob("*") if path.is_file() and MADE.isdisjoint(path.relative_to(ROOT).parts)]
    return [path for path in files if not re.search(r"\.sqlite|^\.env$|^\.coverage|\.webp$", path.name)]


def test_no_file_names_a_package_registry_or_a_path_of_one_machine() -> None:
    # In parts, so that this file is not among the finds.
    words = [re.escape("".join(parts)) for parts in (("pypi", ".org"), ("python", "hosted"), ("npm", "js"))]
    words += [rf"(?<![\w.~-])/{folder}/" for folder in ("root", "work")]
    wanted = re.compile("|".join(words).encode(), re.IGNORECASE)

    finds = {path.relative_to(ROOT).as_posix(): set(wanted.findall(path.read_bytes())) for path in project_files()}

    assert "run.py" in finds
    assert {name: found for name, found in finds.items() if found} == {}


def test_what_is_made_while_it_runs_is_kept_out_of_commits() -> None:
    ignored = (ROOT / ".gitignore").read_text().splitlines()

    for made in (".venv/", "__pycache__/", "node_modules/", "*.sqlite*", "/instance/", "/uploads/*", ".env"):
        assert made in ignored
