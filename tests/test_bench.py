"""The bench: who answers wrongly is not timed, ratios are right, and what is not met is said. Nothing is timed here."""

from __future__ import annotations

import ast
import json
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from itertools import cycle
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from api.http.concurrency import WORKER_THREADS
from bench import report, wrk
from bench.datasets import COMMON, FEWEST, MOST, RARE, SIZES, dogs
from bench.measurement import Finding, findings_table
from bench.processes import CORES, Failed, Running
from bench.profile_layers import profiles_table
from bench.sampling_profiler import DRIVER, FLASK, HOOKS, LAYERS, LOG, MODELS, OTHERS, VERBS, Profile, layer_of
from bench.scaling import FIRST_PAGE, IN_A_ROW, Asked, Growth, grown, taken
from bench.targets import CONTENDERS, KENNEL, RIVALS, check, logged_in, reason, sample
from bench.throughput import GOALS, Rates, ratio, settle

from .live_server import ROOT
from .postgres import Databases

ROWS = sample()


# --- What they answer is checked before it is timed ---


@pytest.fixture(scope="module")
def kennel(system: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Kennel as a contender, with the rows of the bench."""
    if not CORES:
        pytest.skip("the bench needs Linux")
    folder = tmp_path_factory.mktemp("kennel")
    url = f"sqlite:///{folder / 'dogs.sqlite'}"
    (folder / "rows.json").write_text(json.dumps(ROWS))
    KENNEL.fill(url, folder / "rows.json")
    settle(KENNEL.name, url)
    with KENNEL.started(folder / "server", url, CORES) as server:
        yield server


@pytest.mark.parametrize(
    ("kind", "place", "column", "value", "reason"),
    [
        ("dogs", 0, "name", "Another name", "the list"),
        ("dogs", 19, "created_at", "2026-01-01T00:00:00.000Z", "the list"),
        ("dogs", 7, "user", 2, "the list"),
        ("dogs", 99, "breed", "Another breed", "one dog"),
        ("users", 0, "email", "another@example.com", "the profile"),
        ("users", 0, "password", "another password", "a login with 401"),
    ],
)
def test_a_contender_with_other_rows_is_refused(
    kennel: Running, kind: str, place: int, column: str, value: object, reason: str
) -> None:
    rows = deepcopy(ROWS)
    rows[kind][place][column] = value

    with pytest.raises(Failed, match=reason):
        check("Kennel", kennel.url, rows)


def test_a_contender_that_answers_rightly_is_taken_and_gives_a_login(kennel: Running) -> None:
    headers = check("Kennel", kennel.url, ROWS)

    assert headers["Cookie"].startswith("session=")
    with pytest.raises(Failed, match="other data"):  # the check itself has changed a dog
        check("Kennel", kennel.url, ROWS)


def test_who_can_not_log_in_is_refused(kennel: Running) -> None:
    with pytest.raises(Failed, match="answers a login with 401"):
        logged_in("Kennel", kennel.url, {"username": "Anna 1", "password": "wrong"})


def test_a_database_that_does_not_write_down_what_it_commits_is_refused(databases: Databases) -> None:
    url = databases.create()
    databases.run(f"ALTER DATABASE {url.rpartition('/')[2]} SET synchronous_commit = off")

    with pytest.raises(Failed, match="as all others do"):
        settle("Careless", url)
    databases.drop(url)


def test_all_contenders_but_the_bound_are_filled_with_the_same_rows() -> None:
    assert [contender.name for contender in CONTENDERS if not contender.seed] == ["empty Flask"]
    assert {"list", "one", "profile", "change", "create"} <= set(KENNEL.calls)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Traceback:\n  a line\nValueError: no table\n", "ValueError: no table"),
        ("bindings.js:126\n\nError: no bindings\n    at open\n\nNode.js v20.1.0\n", "Error: no bindings"),
        ("", "it says nothing"),
    ],
)
def test_why_a_rival_could_not_be_filled_is_told_in_its_own_words(said: str, told: str) -> None:
    assert reason(said) == told


def answering(monkeypatch: pytest.MonkeyPatch, *said: tuple[int, float, int, int]) -> None:
    """Let wrk find these answers: how many, in how many seconds, errors, and connections lost."""
    turns = cycle(said)
    monkeypatch.setattr(wrk, "run_wrk", lambda *_: next(turns))


def test_a_moment_in_which_nothing_is_answered_is_tried_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answering(monkeypatch, (0, 0.5, 0, 0), (40, 2.0, 0, 0))
    assert wrk.load("http://127.0.0.1", [], 0.5, tmp_path) == (40, 2.0)

    answering(monkeypatch, (0, 0.5, 0, 0))
    with pytest.raises(Failed, match="answers nothing"):
        wrk.load("http://127.0.0.1", [], 0.5, tmp_path)


def test_answers_that_are_errors_and_lost_connections_do_not_count_as_fast(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for said in ((40, 2.0, 1, 0), (40, 2.0, 0, 1)):
        answering(monkeypatch, said)
        with pytest.raises(Failed):
            wrk.load("http://127.0.0.1", [], 0.5, tmp_path)
    answering(monkeypatch, (40, 2.0, 1, 0))
    assert wrk.load("http://127.0.0.1", [], 0.5, tmp_path, refusals=True) == (40, 2.0)


def test_requests_are_written_for_lua() -> None:
    sent = wrk.request("PUT", "/dogs/1", {"Cookie": 'a="b"'}, {"name": "Ärmel"})

    assert wrk.lua([sent]) == (
        '{{["method"] = "PUT", ["path"] = "/dogs/1", '
        '["headers"] = {["Cookie"] = "a=\\"b\\"", ["Content-Type"] = "application/json"}, '
        '["body"] = "{\\"name\\": \\"\\\\u00c4rmel\\"}"}}'
    )


# --- Ratios and goals ---


def rates(contender: str, *rounds: float, call: str = "one", engine: str = "SQLite") -> Rates:
    one = [1.0] * len(rounds)
    return Rates(engine, call, contender, list(rounds), one, [0.5] * len(rounds), [0.0] * len(rounds))


def test_a_ratio_is_that_of_each_round_and_its_median_counts() -> None:
    found = ratio(rates("Kennel", 1000, 3000, 2000), rates("Express", 1000, 1500, 4000))

    assert found.numbers == [1.0, 2.0, 0.5]
    assert (found.median, found.spread) == (1.0, "0.50 to 2.00")
    assert (found.goal, found.at_least, found.verdict) == (0.8, True, "met")


@pytest.mark.parametrize(
    ("number", "at_least", "verdict"),
    [(2.0, True, "met"), (1.99, True, "**NOT met**"), (2.0, False, "met"), (2.01, False, "**NOT met**")],
)
def test_a_goal_is_met_up_to_its_bound_and_no_further(number: float, at_least: bool, verdict: str) -> None:
    assert Finding("", [0.1, number, 9], goal=2, at_least=at_least).verdict == verdict
    assert Finding("", [number]).verdict == ""


def test_what_was_not_met_stands_in_its_table() -> None:
    assert findings_table([Finding("a start", [3.0], " s", 1)]) == (
        "|  | median | goal |  |\n| --- | ---: | ---: | ---: |\n| a start | 3.00 s | at most 1 s | **NOT met** |\n"
    )


def asked(few: float, many: float, query: str = "sort=id") -> Asked:
    """A list or a search with its milliseconds."""
    times = {size: [many if size == MOST else few] * IN_A_ROW * 3 for size in SIZES}
    return Asked("SQLite", query, "" if query.startswith("q=") else FIRST_PAGE, query, times)


def test_growth_is_what_most_dogs_cost_of_what_the_fewest_cost() -> None:
    assert grown(asked(0.5, 0.6)).numbers == [1.2, 1.2, 1.2]
    assert grown(asked(0.5, 0.6)).is_met
    assert not grown(asked(0.5, 0.61)).is_met


def test_a_search_for_three_letters_has_a_goal_and_one_for_two_has_none() -> None:
    assert [taken(asked(1, 21, query)).is_met for query in ("q=abc", "q=ab")] == [False, True]


def test_the_many_dogs_are_the_same_each_time_and_spread_as_the_lists_need_it() -> None:
    some = list(dogs(FEWEST))

    assert some == list(dogs(FEWEST))
    for column in COMMON:
        found = Counter(dog[column] for dog in some)
        assert found[RARE[column]] == 5
        assert 220 <= found[COMMON[column]] <= 300


# --- Where the time goes ---


def code(path: str, name: str = "deed") -> CodeType:
    return compile(f"def {name}(): pass", path, "exec").co_consts[0]


def test_the_time_of_a_stack_is_that_of_its_layer() -> None:
    packages = f"{ROOT}/.venv/lib/site-packages"
    flask = [code(f"{packages}/flask/app.py", "process_response"), code(f"{packages}/flask/app.py")]
    verb = code(f"{ROOT}/api/resources/dogs.py")
    models = code(f"{ROOT}/models/dog.py")

    assert layer_of(flask) == FLASK
    assert layer_of([code(f"{packages}/werkzeug/headers.py"), code(f"{ROOT}/api/observability/logs.py"), *flask]) == LOG
    assert layer_of([code(f"{ROOT}/api/observability/metrics.py"), *flask]) == HOOKS
    assert layer_of([verb, code(f"{packages}/flask_restful/__init__.py"), flask[1]]) == VERBS
    assert layer_of([models, verb]) == MODELS
    assert layer_of([code(f"{ROOT}/bench/sampling_profiler.py", "driver_call"), models, verb]) == DRIVER
    assert layer_of([code(f"{ROOT}/bench/sampling_profiler.py", "repeat")]) == OTHERS


# --- The report ---


def results(**changes: Any) -> report.Results:
    """What a run might have found."""
    layers = dict.fromkeys(LAYERS, 10.0)
    found: dict[str, Any] = {
        "rates": [rates("Kennel", 4000, 4200), rates("Express", 5000, 5100), rates("empty Flask", 9000, 9000)],
        "profiles": [Profile("SQLite", "one", 100.0, 90.0, 100.0, layers)],
        "logins": [Finding("logins / raw", [0.9], "x", 0.95, at_least=True)],
        "growth": Growth([asked(1, 3)], [asked(1, 30, "q=abc")]),
        "memory": [Finding("a worker", [80], " MB", 90)],
        "start": [Finding("a start", [0.5], " s", 1)],
        "machine": {"Cores": "2"},
        "versions": {"wrk": "4.1.0"},
        "seconds": 600,
    }
    return report.Results(**{**found, **changes})


def test_the_report_says_first_how_many_goals_are_met_and_which_are_not() -> None:
    text = report.document(results())

    begin = text.index("**3 of 7 goals are met.** Not met:")
    missed = text[begin : text.index("## Beside the rivals")]
    for what in ("empty Flask: 0.46x", "logins / raw: 0.90x", "sort=id, first page: 3.00x", "30.0 ms"):
        assert what in missed
    assert "Slower than hand-written Express: one dog on SQLite (0.81x)." in missed
    assert text.index("## Beside the rivals") < text.index("## Requests a second") < text.index("## Versions")


def test_the_report_has_each_ratio_beside_its_goal_and_each_rate_beside_ours() -> None:
    text = report.document(results())

    assert "| *goal for the list and one dog* | *0.8x* | *0.6x* |\n" in text
    assert "| one dog, SQLite | 0.81x (0.80 to 0.82), met | 0.46x (0.44 to 0.47), **NOT met** |\n" in text
    assert "| one dog, SQLite | 4,100 (4,000 to 4,200) | 5,050 (5,000 to 5,100) | 9,000 (9,000 to 9,000) |\n" in text


def test_the_report_claims_nothing_where_all_is_met() -> None:
    kept = results(
        rates=[rates("Kennel", 6000, 6000), rates("Express", 5000, 5000)], logins=[], growth=Growth([asked(1, 1)])
    )

    assert "**4 of 4 goals are met.**\n\nSlower than hand-written Express: nothing" in report.summary(kept)
    assert "NOT met" not in report.document(kept)


def test_a_profile_shows_what_the_server_adds_to_the_application() -> None:
    table = profiles_table(results().profiles, results().rates)

    assert "| log | 10 (10%) |\n" in table
    assert "| **server, of its core** | **244** |\n" in table
    assert "| so granian, threads, sockets | 154 |\n" in table


def test_a_server_that_waited_for_something_else_is_told() -> None:
    waiting = Rates("SQLite", "one", "Kennel", [1000.0], [0.4], [0.5], [0.0])

    assert report.rate(waiting) == "1,000 (1,000 to 1,000), 40%"


def test_the_table_of_the_readme_is_written_between_its_marks_alone() -> None:
    text = f"Above.\n{report.BEGIN}\n| old |\n\n{report.END}Below.\n"

    once = report.with_table(text, "| new |\n")
    assert once == f"Above.\n{report.BEGIN}\n| new |\n\n{report.END}Below.\n"
    assert report.with_table(once, "| new |\n") == once
    with pytest.raises(Failed):
        report.with_table("No place.", "| new |\n")


def test_the_readme_shows_the_table_of_the_results() -> None:
    shown = report.README.read_text().partition(report.BEGIN)[2].partition(report.END)[0].strip()

    assert shown.startswith("|  | FastAPI | Django REST framework | the lesson's app | Express |")
    assert shown in report.RESULTS.read_text()


def test_the_results_have_every_goal_beside_a_rival_on_both_engines() -> None:
    shown = report.RESULTS.read_text().partition("## Beside the rivals")[2].partition("\n## ")[0]

    for engine in ("SQLite", "PostgreSQL"):
        cells = [line for line in shown.splitlines() if f", {engine} |" in line]
        assert sum(line.count(", met") + line.count("**NOT met**") for line in cells) == len(GOALS)


# --- What is installed and started ---


def test_the_empty_view_is_served_as_kennel_is() -> None:
    def options(path: Path) -> dict[str, str]:
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        server = next(call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "Granian")
        return {each.arg: ast.unparse(each.value) for each in server.keywords if each.arg}

    ours, empty = options(ROOT / "run.py"), options(RIVALS / "empty_flask" / "app.py")
    named = {"address", "port", "workers", "blocking_threads", "workers_kill_timeout"}

    assert ours.keys() == empty.keys()
    assert {name for name in ours if ours[name] != empty[name]} <= named
    assert int(empty["blocking_threads"]) == WORKER_THREADS


def test_the_lock_of_the_express_rival_names_no_host_to_load_from() -> None:
    lock = json.loads((RIVALS / "express" / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}

    assert packages
    assert [name for name, package in packages.items() if "resolved" in package] == []
    assert [name for name, package in packages.items() if "integrity" not in package] == []
    assert "omit-lockfile-registry-resolved=true" in (RIVALS / "express" / ".npmrc").read_text().splitlines()


def test_the_python_rivals_are_installed_by_their_hashes_alone() -> None:
    lock = (ROOT / "bench" / "requirements.txt").read_text()

    assert "://" not in lock
    assert lock.count("==") > 20
    assert lock.count("--hash=sha256:") > lock.count("==")
