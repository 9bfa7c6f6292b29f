"""The architecture: layers, import cycles, what happens at import, the length of verbs, and docs/architecture.md."""

from __future__ import annotations

import ast
import json
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from .live_server import ROOT

TOP_PACKAGES = ("api", "schemas", "models")
PAGE = (ROOT / "docs" / "architecture.md").read_text()
# Flask's names of the current request and application.
REQUEST_CONTEXT = {"request", "session", "g", "current_app", "current_user", "has_request_context"}
VERBS = {"get", "post", "put", "patch", "delete"}


def sources(package: str) -> list[Path]:
    """Return the modules of a package, including its subpackages and migrations."""
    return sorted((ROOT / package).rglob("*.py"))


def module_name(path: Path) -> str:
    """Return `api.resources.dogs` for `api/resources/dogs.py`, `api` for `api/__init__.py`."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for package in TOP_PACKAGES for path in sources(package)}
PACKAGES = {name for name, path in MODULES.items() if path.name == "__init__.py"}


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def absolute(node: ast.ImportFrom, path: Path) -> str:
    """Return the module that a `from ... import` names, with its leading dots resolved."""
    if not node.level:
        return node.module or ""
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    package = package[: len(package) - node.level + 1]
    return ".".join([*package, *([node.module] if node.module else [])])


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """Yield every import of a file, also inside functions, as module and name; the name is empty for `import x`."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((absolute(node, path), alias.name) for alias in node.names)


def imported_modules(module: str) -> set[str]:
    """Return the modules of ours that a module imports: `from . import x` and `from .x import y` both import `x`."""
    names = {
        f"{source}.{name}" if f"{source}.{name}" in MODULES else source for source, name in imports(MODULES[module])
    }
    return (names & set(MODULES)) - {module}


def package_of(module: str) -> str:
    """Return the package that a module belongs to; a package belongs to itself."""
    return module if module in PACKAGES else module.rpartition(".")[0]


def imported_distributions(package: str) -> set[str]:
    """Return the top-level packages that a package imports from."""
    return {module.partition(".")[0] for path in sources(package) for module, _ in imports(path)}


def classes(path: Path) -> Iterator[ast.ClassDef]:
    return (node for node in ast.walk(parse(path)) if isinstance(node, ast.ClassDef))


def assert_acyclic(graph: dict[str, set[str]]) -> None:
    assert any(graph.values())
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


# --- Dependency rules ---


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("schemas", {"api", "models", "run", "tests", "flask", "flask_login", "flask_restful", "peewee", "playhouse"}),
        ("models", {"api", "schemas", "run", "tests", "flask", "flask_restful", "marshmallow"}),
        ("api", {"run", "tests", "bench"}),
    ],
)
def test_package_imports_nothing_forbidden(package: str, forbidden: set[str]) -> None:
    assert imported_distributions(package) & forbidden == set()
    assert sources(package)


@pytest.mark.parametrize("package", ["schemas", "models"])
def test_packages_below_api_do_not_import_the_request(package: str) -> None:
    names = {
        f"{module_name(path)}: {name or module}"
        for path in sources(package)
        for module, name in imports(path)
        if module.startswith(("flask", "werkzeug")) and name in {"", *REQUEST_CONTEXT}
    }

    assert names == set()


def test_modules_have_no_import_cycle() -> None:
    assert_acyclic({module: imported_modules(module) for module in MODULES})


def test_packages_have_no_import_cycle() -> None:
    graph: dict[str, set[str]] = {package: set() for package in PACKAGES}
    for module in MODULES:
        # `api/__init__.py` is a layer of its own, above the other modules of `api`, which belong to no package.
        if package_of(module) != "api":
            graph[package_of(module)] |= {package_of(name) for name in imported_modules(module)} - {package_of(module)}
    del graph["api"]

    assert_acyclic(graph)


def layers() -> list[list[str]]:
    """Return the layers of docs/architecture.md, from top to bottom, each as names of modules and packages."""
    lines = re.findall(r"^\d+\. ((?:`\S+`(?:, )?)+)$", PAGE, re.MULTILINE)
    return [[module_name(ROOT / path.removesuffix("/")) for path in re.findall(r"`(\S+)`", line)] for line in lines]


def place(module: str) -> tuple[int, str]:
    """Return the number of a module's layer, and the part of that layer that the module belongs to."""
    found = [
        (number, name)
        for number, names in enumerate(layers())
        for name in names
        # `api`, of `api/__init__.py`, is not the place of the modules in it.
        if module == name or (name != "api" and module.startswith(f"{name}."))
    ]
    assert len(found) == 1, f"{module} is not in one layer of docs/architecture.md: {found}"
    return found[0]


def test_layers_import_only_from_layers_below() -> None:
    places = {module: place(module) for module in MODULES}
    upward = {
        f"{module} imports {name}"
        for module in MODULES
        for name in imported_modules(module)
        if places[module] != places[name] and places[module][0] >= places[name][0]
    }

    assert len(layers()) > 5
    assert upward == set()


@pytest.mark.parametrize("package", [*TOP_PACKAGES, "run.py"])
def test_no_import_inside_a_function(package: str) -> None:
    paths = sources(package) or [ROOT / package]
    inside = {
        f"{module_name(path)}:{node.lineno}"
        for path in paths
        for function in ast.walk(parse(path))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        # The application factory: the decoder process, a module of this package, needs none of its parts.
        if (module_name(path), getattr(function, "name", "")) != ("api", "create_app")
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }

    assert inside == set()


# --- docs/architecture.md ---


def test_architecture_page_names_every_package() -> None:
    named = set(re.findall(r"^( *)(\w+)/ ", PAGE, re.MULTILINE))
    folders = {f"{indent}{name}" for indent, name in named}

    for package in PACKAGES:
        *parents, name = package.split(".")
        assert f"{'  ' * len(parents)}{name}" in folders, package


def test_architecture_page_names_only_what_exists() -> None:
    tree = PAGE.partition("```text\n")[2].partition("```")[0]
    folders: list[str] = []
    paths = []
    for indent, name in re.findall(r"^( *)([\w./]+) {2,}", tree, re.MULTILINE):
        folders[len(indent) // 2 :] = [name]
        paths.append("".join(folders))
    paths += re.findall(r"`((?:api|models|schemas|tests)/[\w./]+)`", PAGE)

    assert "api/resources/" in paths
    assert len(paths) > 40
    assert [path for path in paths if not (ROOT / path).exists()] == []


# --- What happens at import ---

# Runs a statement, and prints as JSON what it opened: connections, files for writing, and project files but code.
AUDITED_STATEMENT = """
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


def audit(statement: str, folder: Path) -> tuple[list[list[str]], list[str], int, list[str]]:
    """Return what a statement opens, the file descriptors it keeps, the threads, and the files in its folder."""
    code = AUDITED_STATEMENT.format(root=f"{ROOT}/", venv=f"{ROOT}/.venv/", statement=statement)
    # -B: without bytecode, which Python itself writes.
    command = [sys.executable, "-B", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return tuple(json.loads(done.stdout))


@pytest.mark.system
@pytest.mark.parametrize(
    "modules", ["api, models, schemas", "api.routes, api.cli, api.security.rate_limits", "models.migrations"]
)
def test_import_opens_no_file_connection_or_thread(tmp_path: Path, modules: str) -> None:
    assert audit(f"import {modules}", tmp_path) == ([], [], 1, [])


@pytest.mark.system
def test_create_app_opens_only_its_settings(tmp_path: Path) -> None:
    settings = {
        "DATABASE_URL": f"sqlite:///{tmp_path / 'dogs.sqlite'}",
        "UPLOADS_URL": str(tmp_path / "uploads"),
        "SECRET_KEY": "a key for the tests, which is no secret",
    }

    opened, handles, threads, files = audit(f"import api; app = api.create_app({settings!r})", tmp_path)

    assert {Path(path).name for event, path in opened} <= {".env"}
    assert (handles, threads, files) == ([], 1, [])


@pytest.mark.system
def test_audit_reports_an_opened_database(tmp_path: Path) -> None:
    statement = "import sqlite3; db = sqlite3.connect('dogs.sqlite'); db.execute('CREATE TABLE t (a)')"

    opened, _, _, files = audit(statement, tmp_path)

    assert opened == [["sqlite3.connect", "dogs.sqlite"]]
    assert files == ["dogs.sqlite"]


# --- Verbs ---


def verbs() -> list[tuple[str, ast.FunctionDef]]:
    """Return every verb of every resource, with its name."""
    return [
        (f"{kind.name}.{node.name}", node)
        for path in sources("api/resources")
        for kind in classes(path)
        for node in kind.body
        if isinstance(node, ast.FunctionDef) and node.name in VERBS
    ]


def body_lines(verb: ast.FunctionDef) -> int:
    """Return the number of lines of a verb without its signature and docstring."""
    body = verb.body[1:] if ast.get_docstring(verb) else verb.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_every_verb_has_a_docstring_that_begins_with_a_sentence() -> None:
    summaries = {name: (ast.get_docstring(verb) or "").split("\n")[0] for name, verb in verbs()}

    assert [name for name, summary in summaries.items() if not re.fullmatch(r"[A-Z].{5,}\.", summary)] == []


def test_every_verb_is_short() -> None:
    lengths = {name: body_lines(verb) for name, verb in verbs()}

    assert len(lengths) > 15
    assert {name: length for name, length in lengths.items() if length > 15} == {}
    assert statistics.median(lengths.values()) <= 3


def test_no_verb_catches_exceptions() -> None:
    catching = [name for name, verb in verbs() if any(isinstance(node, ast.Try) for node in ast.walk(verb))]

    assert catching == []


# --- Files ---

# Folders of generated files.
GENERATED = {
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
    """Return the files of the project, in a checkout and in a plain copy of one."""
    files = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = set(folders) - GENERATED
        files += [Path(folder, name) for name in names if name not in GENERATED]
    return [path for path in files if not re.search(r"\.sqlite|^\.env$|^\.coverage|\.webp$", path.name)]


def test_no_file_names_a_package_registry_or_a_local_path() -> None:
    # Split, so that this file does not match.
    words = [re.escape("".join(parts)) for parts in (("pypi", ".org"), ("python", "hosted"), ("npm", "js"))]
    words += [rf"(?<![\w.~-])/{folder}/" for folder in ("root", "work")]
    wanted = re.compile("|".join(words).encode(), re.IGNORECASE)

    matches = {path.relative_to(ROOT).as_posix(): set(wanted.findall(path.read_bytes())) for path in project_files()}

    assert "run.py" in matches
    assert {name: found for name, found in matches.items() if found} == {}


def test_git_ignores_generated_files() -> None:
    ignored = (ROOT / ".gitignore").read_text().splitlines()

    for path in (
        ".venv/",
        "__pycache__/",
        "node_modules/",
        "*.sqlite*",
        "/instance/",
        "/uploads/*",
        "/backup/",
        ".env",
    ):
        assert path in ignored
