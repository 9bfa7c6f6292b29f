"""The benchmarks: targets are verified, ratios are correct, and missed goals are reported. Nothing is timed here."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from itertools import cycle
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from api.http.concurrency import WORKER_THREADS
from api.server.granian import MAX_CONNECTIONS
from bench import report, wrk
from bench.datasets import COMMON_VALUES, LARGEST, RARE_VALUES, SIZES, SMALLEST, generate_dogs
from bench.measurement import Measurement, format_measurements
from bench.processes import CORES, BenchmarkError, ServerProcess
from bench.profile_layers import format_profiles
from bench.sampling_profiler import (
    DRIVER,
    FLASK,
    HOOKS,
    LAYERS,
    LOGGING,
    MODELS,
    OTHER,
    RESOURCES,
    Profile,
    find_layer,
)
from bench.scaling import FIRST_PAGE, REQUESTS_PER_TURN, QueryTiming, Scaling
from bench.targets import BASELINES, KENNEL, TARGETS, find_error, log_in, sample_rows, verify_target
from bench.throughput import GOALS, Throughput, prepare_database, throughput_ratio

from .live_server import ROOT
from .postgres import Databases

ROWS = sample_rows()


# --- Targets ---


@pytest.fixture(scope="module")
def kennel(system: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Kennel as a target, with the rows of the benchmarks."""
    if not CORES:
        pytest.skip("the benchmarks need Linux")
    folder = tmp_path_factory.mktemp("kennel")
    url = f"sqlite:///{folder / 'dogs.sqlite'}"
    (folder / "rows.json").write_text(json.dumps(ROWS))
    KENNEL.seed(url, folder / "rows.json")
    prepare_database(KENNEL.name, url)
    with KENNEL.server(folder / "server", url, CORES) as server:
        yield server


@pytest.mark.parametrize(
    ("kind", "index", "column", "value", "reason"),
    [
        ("dogs", 0, "name", "Another name", "the list"),
        ("dogs", 19, "created_at", "2026-01-01T00:00:00.000Z", "the list"),
        ("dogs", 7, "user", 2, "the list"),
        ("dogs", 99, "breed", "Another breed", "one dog"),
        ("users", 0, "email", "another@example.com", "the profile"),
        ("users", 0, "password", "another password", "login with 401"),
    ],
)
def test_target_with_other_rows_is_rejected(
    kennel: ServerProcess, kind: str, index: int, column: str, value: object, reason: str
) -> None:
    rows = deepcopy(ROWS)
    rows[kind][index][column] = value

    with pytest.raises(BenchmarkError, match=reason):
        verify_target("Kennel", kennel.url, rows)


def test_correct_target_returns_login_headers(kennel: ServerProcess) -> None:
    headers = verify_target("Kennel", kennel.url, ROWS)

    assert "kennel_session=" in headers["Cookie"]
    with pytest.raises(BenchmarkError, match="other data"):  # the verification has changed a dog
        verify_target("Kennel", kennel.url, ROWS)


def test_target_that_refuses_login_is_rejected(kennel: ServerProcess) -> None:
    with pytest.raises(BenchmarkError, match="responds to a login with 401"):
        log_in("Kennel", kennel.url, {"username": "Anna 1", "password": "wrong"})


def test_database_without_synchronous_commit_is_rejected(databases: Databases) -> None:
    url = databases.create()
    databases.run(f"ALTER DATABASE {url.rpartition('/')[2]} SET synchronous_commit = off")

    with pytest.raises(BenchmarkError, match="not durable"):
        prepare_database("Careless", url)
    databases.drop(url)


def test_every_target_but_empty_view_is_seeded() -> None:
    assert [target.name for target in TARGETS if not target.seed_command] == ["empty Flask"]
    assert {"list", "one", "profile", "change", "create"} <= set(KENNEL.calls)


@pytest.mark.parametrize(
    ("output", "error"),
    [
        ("Traceback:\n  a line\nValueError: no table\n", "ValueError: no table"),
        ("bindings.js:126\n\nError: no bindings\n    at open\n\nNode.js v20.1.0\n", "Error: no bindings"),
        ("", "no output"),
    ],
)
def test_failed_seed_reports_line_with_error(output: str, error: str) -> None:
    assert find_error(output) == error


def stub_wrk(monkeypatch: pytest.MonkeyPatch, *results: tuple[int, float, int, int]) -> None:
    """Replace wrk by these results: responses, seconds, errors, and connections lost."""
    turns = cycle(results)
    monkeypatch.setattr(wrk, "run_wrk", lambda *_: next(turns))


def test_load_without_response_is_retried(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stub_wrk(monkeypatch, (0, 0.5, 0, 0), (40, 2.0, 0, 0))
    assert wrk.run_load("http://127.0.0.1", [], 0.5, tmp_path) == (40, 2.0)

    stub_wrk(monkeypatch, (0, 0.5, 0, 0))
    with pytest.raises(BenchmarkError, match="did not respond"):
        wrk.run_load("http://127.0.0.1", [], 0.5, tmp_path)


def test_load_with_errors_or_lost_connections_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for result in ((40, 2.0, 1, 0), (40, 2.0, 0, 1)):
        stub_wrk(monkeypatch, result)
        with pytest.raises(BenchmarkError):
            wrk.run_load("http://127.0.0.1", [], 0.5, tmp_path)
    stub_wrk(monkeypatch, (40, 2.0, 1, 0))
    assert wrk.run_load("http://127.0.0.1", [], 0.5, tmp_path, allow_errors=True) == (40, 2.0)


def test_requests_are_written_as_lua_table() -> None:
    request = wrk.build_request("PUT", "/dogs/1", {"Cookie": 'a="b"'}, {"name": "Ärmel"})

    assert wrk.to_lua([request]) == (
        '{{["method"] = "PUT", ["path"] = "/dogs/1", '
        '["headers"] = {["Cookie"] = "a=\\"b\\"", ["Content-Type"] = "application/json"}, '
        '["body"] = "{\\"name\\": \\"\\\\u00c4rmel\\"}"}}'
    )


# --- Ratios and goals ---


def throughput(target: str, *rates: float, call: str = "one", engine: str = "SQLite") -> Throughput:
    rounds = len(rates)
    return Throughput(engine, call, target, list(rates), [1.0] * rounds, [0.5] * rounds, [0.0] * rounds)


def test_ratio_is_median_of_rounds() -> None:
    ratio = throughput_ratio(throughput("Kennel", 1000, 3000, 2000), throughput("Express", 1000, 1500, 4000))

    assert ratio.values == [1.0, 2.0, 0.5]
    assert (ratio.median, ratio.range_text) == (1.0, "0.50 to 2.00")
    assert (ratio.goal, ratio.goal_is_minimum, ratio.verdict) == (0.8, True, "met")


@pytest.mark.parametrize(
    ("median", "goal_is_minimum", "verdict"),
    [(2.0, True, "met"), (1.99, True, "**NOT met**"), (2.0, False, "met"), (2.01, False, "**NOT met**")],
)
def test_goal_is_inclusive(median: float, goal_is_minimum: bool, verdict: str) -> None:
    assert Measurement("", [0.1, median, 9], goal=2, goal_is_minimum=goal_is_minimum).verdict == verdict
    assert Measurement("", [median]).verdict == ""


def test_missed_goal_is_marked_in_table() -> None:
    assert format_measurements([Measurement("a start", [3.0], " s", 1)]) == (
        "|  | median | goal |  |\n| --- | ---: | ---: | ---: |\n| a start | 3.00 s | at most 1 s | **NOT met** |\n"
    )


def timing(small: float, large: float, query: str = "sort=id") -> QueryTiming:
    """Return a list or a search with its milliseconds."""
    times = {size: [large if size == LARGEST else small] * REQUESTS_PER_TURN * 3 for size in SIZES}
    return QueryTiming("SQLite", query, "" if query.startswith("q=") else FIRST_PAGE, query, times)


def test_growth_is_ratio_of_largest_to_smallest_database() -> None:
    assert timing(0.5, 0.6).growth.values == [1.2, 1.2, 1.2]
    assert timing(0.5, 0.6).growth.is_met
    assert not timing(0.5, 0.61).growth.is_met


def test_search_goal_applies_from_three_letters() -> None:
    assert [timing(1, 21, query).latency.is_met for query in ("q=abc", "q=ab")] == [False, True]


def test_generated_dogs_are_deterministic_and_skewed() -> None:
    dogs = list(generate_dogs(SMALLEST))

    assert dogs == list(generate_dogs(SMALLEST))
    for column in COMMON_VALUES:
        counts = Counter(dog[column] for dog in dogs)
        assert counts[RARE_VALUES[column]] == 5
        assert 220 <= counts[COMMON_VALUES[column]] <= 300


# --- Profile ---


def code(path: str, name: str = "operation") -> CodeType:
    return compile(f"def {name}(): pass", path, "exec").co_consts[0]


def test_sample_is_attributed_to_its_layer() -> None:
    packages = f"{ROOT}/.venv/lib/site-packages"
    flask = [code(f"{packages}/flask/app.py", "process_response"), code(f"{packages}/flask/app.py")]
    resource = code(f"{ROOT}/api/resources/dogs.py")
    models = code(f"{ROOT}/models/dog.py")
    logs = code(f"{ROOT}/api/observability/logs.py")

    assert find_layer(flask) == FLASK
    assert find_layer([code(f"{packages}/werkzeug/headers.py"), logs, *flask]) == LOGGING
    assert find_layer([code(f"{ROOT}/api/observability/metrics.py"), *flask]) == HOOKS
    assert find_layer([resource, code(f"{packages}/flask_restful/__init__.py"), flask[1]]) == RESOURCES
    assert find_layer([models, resource]) == MODELS
    assert find_layer([code(f"{ROOT}/bench/sampling_profiler.py", "driver_call"), models, resource]) == DRIVER
    assert find_layer([code(f"{ROOT}/bench/sampling_profiler.py", "repeat")]) == OTHER


# --- The report ---


def results(**changes: Any) -> report.Results:
    """Return the results of a run."""
    layers = dict.fromkeys(LAYERS, 10.0)
    defaults: dict[str, Any] = {
        "throughput": [
            throughput("Kennel", 4000, 4200),
            throughput("Express", 5000, 5100),
            throughput("empty Flask", 9000, 9000),
        ],
        "profiles": [Profile("SQLite", "one", 100.0, 90.0, 100.0, layers)],
        "logins": [Measurement("logins / raw", [0.9], "x", 0.95, goal_is_minimum=True)],
        "scaling": Scaling([timing(1, 3)], [timing(1, 30, "q=abc")]),
        "memory": [Measurement("a worker", [80], " MB", 90)],
        "startup": [Measurement("a start", [0.5], " s", 1)],
        "hardware": {"Cores": "2"},
        "versions": {"wrk": "4.1.0"},
        "seconds": 600,
    }
    return report.Results(**{**defaults, **changes})


def test_report_begins_with_missed_goals() -> None:
    text = report.format_document(results())

    begin = text.index("**3 of 7 goals are met.** Not met:")
    missed = text[begin : text.index("## Comparison")]
    for what in ("empty Flask: 0.46x", "logins / raw: 0.90x", "sort=id, first page: 3.00x", "30.0 ms"):
        assert what in missed
    assert "Slower than hand-written Express: one dog on SQLite (0.81x)." in missed
    assert text.index("## Comparison") < text.index("## Throughput") < text.index("## Environment")


def test_report_has_ratios_with_goals_and_rates() -> None:
    text = report.format_document(results())

    assert "| *goal: list and one dog* | *0.8x* | *0.6x* |\n" in text
    assert "| one dog, SQLite | 0.81x (0.80 to 0.82), met | 0.46x (0.44 to 0.47), **NOT met** |\n" in text
    assert "| one dog, SQLite | 4,100 (4,000 to 4,200) | 5,050 (5,000 to 5,100) | 9,000 (9,000 to 9,000) |\n" in text


def test_report_without_missed_goals_lists_none() -> None:
    success = results(
        throughput=[throughput("Kennel", 6000, 6000), throughput("Express", 5000, 5000)],
        logins=[],
        scaling=Scaling([timing(1, 1)]),
    )

    assert "**4 of 4 goals are met.**\n\nSlower than hand-written Express: none." in report.summarize(success)
    assert "NOT met" not in report.format_document(success)


def test_profile_shows_overhead_of_server() -> None:
    table = format_profiles(results().profiles, results().throughput)

    assert "| logging | 10 (10%) |\n" in table
    assert "| **server, CPU time** | **244** |\n" in table
    assert "| difference: granian, threads, sockets | 154 |\n" in table


def test_low_utilization_is_shown_beside_rate() -> None:
    waiting = Throughput("SQLite", "one", "Kennel", [1000.0], [0.4], [0.5], [0.0])

    assert report.format_rate(waiting) == "1,000 (1,000 to 1,000), 40%"


def test_readme_table_is_replaced_between_its_markers() -> None:
    text = f"Above.\n{report.BEGIN}\n| old |\n\n{report.END}Below.\n"

    once = report.replace_table(text, "| new |\n")
    assert once == f"Above.\n{report.BEGIN}\n| new |\n\n{report.END}Below.\n"
    assert report.replace_table(once, "| new |\n") == once
    with pytest.raises(BenchmarkError):
        report.replace_table("No markers.", "| new |\n")


def test_readme_table_matches_results() -> None:
    shown = report.README.read_text().partition(report.BEGIN)[2].partition(report.END)[0].strip().splitlines()
    measured = report.RESULTS.read_text()

    assert shown[0].startswith("|  | FastAPI | Django REST framework |")
    assert shown[0] in measured
    assert len(shown) > 10
    for row in shown[2:]:
        title, *ratios = row.removeprefix("| ").removesuffix(" |").split(" | ")
        assert re.search(rf"^\| {title} \| " + r".* \| ".join(map(re.escape, ratios)), measured, re.MULTILINE), row


def test_readme_table_has_ratios_without_goals() -> None:
    shown = report.readme_table(results().throughput)

    assert re.search(r"\| \d[\d.]*x \|", shown)
    assert "met" not in shown
    assert "goal" not in shown


def test_results_have_every_goal_on_both_engines() -> None:
    shown = report.RESULTS.read_text().partition("## Comparison")[2].partition("\n## ")[0]

    for engine in ("SQLite", "PostgreSQL"):
        cells = [line for line in shown.splitlines() if f", {engine} |" in line]
        assert sum(line.count(", met") + line.count("**NOT met**") for line in cells) == len(GOALS)


# --- Baselines ---


def test_empty_view_has_server_options_of_kennel() -> None:
    def options(path: Path) -> dict[str, str]:
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        server = next(call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "Granian")
        return {each.arg: ast.unparse(each.value) for each in server.keywords if each.arg}

    ours, empty = options(ROOT / "api" / "server" / "granian.py"), options(BASELINES / "empty_flask" / "app.py")
    configured = {"address", "port", "workers", "blocking_threads", "backpressure", "workers_kill_timeout"}

    assert ours.keys() == empty.keys()
    assert {name for name in ours if ours[name] != empty[name]} <= configured
    assert (int(empty["blocking_threads"]), int(empty["backpressure"])) == (WORKER_THREADS, MAX_CONNECTIONS)


def test_express_lock_names_no_registry_host() -> None:
    lock = json.loads((BASELINES / "express" / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}

    assert packages
    assert [name for name, package in packages.items() if "resolved" in package] == []
    assert [name for name, package in packages.items() if "integrity" not in package] == []
    assert "omit-lockfile-registry-resolved=true" in (BASELINES / "express" / ".npmrc").read_text().splitlines()


def test_python_baselines_are_pinned_by_hash() -> None:
    lock = (ROOT / "bench" / "requirements.txt").read_text()

    assert "://" not in lock
    assert lock.count("==") > 20
    assert lock.count("--hash=sha256:") > lock.count("==")
