"""The results of a benchmark run as Markdown: `bench/RESULTS.md`, and the table in the README."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tests.live_server import ROOT

from .datasets import LARGEST, SMALLEST
from .measurement import Measurement, format_measurements, format_number, format_table
from .processes import BenchmarkError
from .profile_layers import format_profiles
from .sampling_profiler import Profile
from .scaling import DEEP_PAGE_NUMBER, FIRST_PAGE, GROWTH_GOAL, LIMIT, SEARCH_GOAL_MS, QueryTiming, Scaling
from .targets import BASELINES_PYTHON, CALLS, KENNEL, TARGETS
from .throughput import GOALS, LOGIN_CALLS, PUBLIC_READS, Throughput, throughput_ratio
from .wrk import CONNECTIONS

RESULTS, PLOT, README = ROOT / "bench" / "RESULTS.md", ROOT / "bench" / "scaling.png", ROOT / "README.md"
# The markers around the table in the README.
BEGIN, END = "<!-- The table of ratios is written by make bench. -->\n", "<!-- Until here. -->\n"
BASELINE_NAMES = [target.name for target in TARGETS if target is not KENNEL]
TITLES = {
    "FastAPI": "FastAPI",
    "Django": "Django REST framework",
    "lesson": "the lesson's app",
    "Express": "Express",
    "empty Flask": "an empty Flask view",
}
# A server with a utilization below this waits for something else than its core.
FULL_UTILIZATION = 0.9
# Above this utilization, the load generator may be the bottleneck.
FULL_LOAD = 0.95
INTRODUCTION = """\
# Benchmark results

Written by `make bench`, in one run of {minutes:.0f} minutes. Each server has one worker process on a core to itself.
[wrk](https://github.com/wg/wrk) sends requests over {connections} connections from another core, which PostgreSQL
shares. All servers have the same rows and answer the same calls, which is verified before they are timed, and all sync
every commit to disk. They take turns, round by round. Kennel has everything enabled: sessions, origin checks, CORS,
rate limits, security headers, and a log line per request. Figures are medians, with the minimum and maximum of all
rounds in parentheses. The baselines are in [baselines/](baselines).
"""
ABOUT_COMPARISON = """\
Kennel's requests per second relative to each baseline: 2x is twice as many, and below 1x Kennel is slower.
"""
ABOUT_THROUGHPUT = """\
Requests per second on one core. A percentage is the CPU utilization of a server that did not use its core fully: it
waited for the database, or the disk.
"""
ABOUT_PROFILE = """\
Kennel's application without a server, called by one client, under a profiler that samples the stack a thousand times
per second. Below that is the CPU time of a request, of the application alone and of the real server with 16 clients:
the difference is the cost of the server with its threads and sockets, and of contention between threads.
"""
ABOUT_LOGINS = """\
The bcrypt cost is 12. Kennel has one worker process per core here, and "raw" is the same work without a server, on as
many cores.
"""
ABOUT_SCALING = f"""\
Lists of {LIMIT} dogs over the API, one request after the other: the latency with {LARGEST:,} dogs relative to that
with {SMALLEST:,}, and in milliseconds. The goal is at most {GROWTH_GOAL:g}x. The deep page is page
{DEEP_PAGE_NUMBER:,}; of {SMALLEST:,} dogs it is a full page near the end. The goal of a search for three letters or
more is at most {SEARCH_GOAL_MS} ms.
"""


@dataclass(frozen=True)
class Results:
    """The results of one run."""

    throughput: Sequence[Throughput]
    profiles: Sequence[Profile]
    logins: Sequence[Measurement]
    scaling: Scaling
    memory: Sequence[Measurement]
    startup: Sequence[Measurement]
    hardware: Mapping[str, str]
    versions: Mapping[str, str]
    seconds: float


def throughput_ratios(throughput: Sequence[Throughput]) -> dict[tuple[str, str, str], Measurement]:
    """Return Kennel's throughput relative to each baseline, by engine, call and baseline."""
    ours = {(each.engine, each.call): each for each in throughput if each.target == KENNEL.name}
    return {
        (each.engine, each.call, each.target): throughput_ratio(ours[each.engine, each.call], each)
        for each in throughput
        if each.target != KENNEL.name and (each.engine, each.call) in ours
    }


def measured_calls(throughput: Sequence[Throughput]) -> list[tuple[str, str]]:
    """Return the engines and calls in the order in which they were measured."""
    return list(dict.fromkeys((each.engine, each.call) for each in throughput))


def ratio_table(throughput: Sequence[Throughput]) -> str:
    """Return the table of ratios, with the goals above the calls that they are for."""
    ratios = throughput_ratios(throughput)
    baselines = [name for name in BASELINE_NAMES if any(name == baseline for _, _, baseline in ratios)]
    rows = []
    for names, title in (
        (PUBLIC_READS, "*goal: list and one dog*"),
        (LOGIN_CALLS, "*goal: calls with login*"),
    ):
        calls = [(engine, call) for engine, call in measured_calls(throughput) if call in names]
        if calls:
            rows.append([title, *[format_goals(names, baseline) for baseline in baselines]])
            rows += [
                [
                    f"{CALLS[call].title}, {engine}",
                    *[format_ratio(ratios.get((engine, call, baseline))) for baseline in baselines],
                ]
                for engine, call in calls
            ]
    return format_table(["", *[TITLES[baseline] for baseline in baselines]], rows)


def readme_table(throughput: Sequence[Throughput]) -> str:
    """Return the table of the README: ratios without range and goals."""
    ratios = throughput_ratios(throughput)
    baselines = [name for name in BASELINE_NAMES if any(name == baseline for _, _, baseline in ratios)]
    rows = [
        [f"{CALLS[call].title}, {engine}", *[cell.median_text if cell else "" for cell in cells]]
        for engine, call in measured_calls(throughput)
        if any(cells := [ratios.get((engine, call, baseline)) for baseline in baselines])
    ]
    return format_table(["", *[TITLES[baseline] for baseline in baselines]], rows)


def format_goals(calls: Sequence[str], baseline: str) -> str:
    """Return the goals of these calls relative to a baseline."""
    goals = {f"*{GOALS[call, baseline]:g}x*" for call in calls if (call, baseline) in GOALS}
    return ", ".join(sorted(goals))


def format_ratio(ratio: Measurement | None) -> str:
    """Return a cell of the table of ratios."""
    if not ratio:
        return ""
    verdict = f", {ratio.verdict}" if ratio.verdict else ""
    return f"{ratio.median_text} ({ratio.range_text}){verdict}"


def throughput_table(throughput: Sequence[Throughput]) -> str:
    """Return the table of requests per second of all targets."""
    results = {(each.engine, each.call, each.target): each for each in throughput}
    names = [KENNEL.name, *[name for name in BASELINE_NAMES if any(name == target for _, _, target in results)]]
    rows = [
        [f"{CALLS[call].title}, {engine}", *[format_rate(results.get((engine, call, name))) for name in names]]
        for engine, call in measured_calls(throughput)
    ]
    return format_table(["", *[TITLES.get(name, name) for name in names]], rows)


def format_rate(result: Throughput | None) -> str:
    """Return a cell of the table of requests per second."""
    if not result:
        return ""
    utilization = f", {result.utilization:.0%}" if result.utilization < FULL_UTILIZATION else ""
    lowest, highest = format_number(min(result.rates)), format_number(max(result.rates))
    return f"{format_number(result.median)} ({lowest} to {highest}){utilization}"


def scaling_table(lists: Sequence[QueryTiming]) -> str:
    """Return the table of the growth and latency of each list, by engine and page."""
    columns = list(dict.fromkeys((each.engine, each.page) for each in lists))
    cells = {(each.engine, each.page, each.name): format_growth(each) for each in lists}
    names = dict.fromkeys(each.name for each in lists)
    rows = [[name, *[cells.get((engine, page, name), "") for engine, page in columns]] for name in names]
    return format_table(["", *[f"{engine}, {page}" for engine, page in columns]], rows)


def format_growth(timing: QueryTiming) -> str:
    """Return a cell of the table of lists."""
    growth = timing.growth
    missed = "" if growth.is_met else f", {growth.verdict}"
    return f"{growth.median_text}, {timing.latency.median_text}{missed}"


def measurements_with_goal(results: Results) -> list[Measurement]:
    """Return all measurements that have a goal."""
    measurements = [
        *throughput_ratios(results.throughput).values(),
        *results.logins,
        *results.scaling.measurements,
        *results.memory,
        *results.startup,
    ]
    return [each for each in measurements if each.goal is not None]


def summarize(results: Results) -> str:
    """Return how many goals are met, those that are not, and the calls that are slower than Express."""
    measurements = measurements_with_goal(results)
    missed = [each for each in measurements if not each.is_met]
    slower = [
        f"{CALLS[call].title} on {engine} ({ratio.median_text})"
        for (engine, call, baseline), ratio in throughput_ratios(results.throughput).items()
        if baseline == "Express" and ratio.median < 1
    ]
    met = len(measurements) - len(missed)
    lines = [f"**{met} of {len(measurements)} goals are met.**" + (" Not met:" if missed else ""), ""]
    lines += [f"- {each.name}: {each.median_text}, goal: {each.goal_text}" for each in missed]
    lines += [""] if missed else []
    lines += [f"Slower than hand-written Express: {'; '.join(slower) or 'none'}."]
    return "\n".join(lines) + "\n"


def format_document(results: Results) -> str:
    """Return the content of `bench/RESULTS.md`."""
    parts = [
        INTRODUCTION.format(minutes=results.seconds / 60, connections=CONNECTIONS),
        summarize(results),
        "## Comparison\n",
        ABOUT_COMPARISON,
        ratio_table(results.throughput),
        "## Throughput\n",
        ABOUT_THROUGHPUT,
        throughput_table(results.throughput),
        load_notes(results.throughput),
        "## Profile\n",
        ABOUT_PROFILE,
    ]
    for engine, profiles in group_by_engine(results.profiles).items():
        parts += [f"On {engine}:\n", format_profiles(profiles, results.throughput)]
    parts += ["## Logins and registrations\n", ABOUT_LOGINS, format_measurements(results.logins)]
    parts += ["## Scaling with data size\n", ABOUT_SCALING]
    parts += [f"![Latency of lists and searches by number of dogs]({PLOT.name})\n"]
    parts += [scaling_table(results.scaling.lists), f"Searches among {LARGEST:,} dogs:\n"]
    parts += [format_measurements([each.latency for each in results.scaling.searches])]
    for engine, profiles in group_by_engine(results.scaling.profiles).items():
        parts += [f"Profile of the slowest that miss their goal, on {engine}:\n", format_profiles(profiles)]
    parts += ["## Memory and startup\n", format_measurements([*results.memory, *results.startup])]
    environment = {**results.versions, **results.hardware}
    parts += ["## Environment\n", "".join(f"- {name}: {value}\n" for name, value in environment.items())]
    return "\n".join(parts)


def group_by_engine(profiles: Sequence[Profile]) -> dict[str, list[Profile]]:
    """Return the profiles of each engine, in the order in which they were measured."""
    engines = dict.fromkeys(each.engine for each in profiles)
    return {engine: [each for each in profiles if each.engine == engine] for engine in engines}


def load_notes(throughput: Sequence[Throughput]) -> str:
    """Return what may have slowed the servers down: a busy load generator, and the CPU use of idle servers."""
    bottlenecks = [
        f"{each.target} ({CALLS[each.call].title}, {each.engine}: {median(each.load_cpu):.0%})"
        for each in throughput
        if median(each.load_cpu) > FULL_LOAD
    ]
    notes = []
    if bottlenecks:
        notes += [f"The load generator was busy, and may have been the bottleneck of: {'; '.join(bottlenecks)}."]
    most = max(throughput, key=lambda each: median(each.idle_cpu))
    notes += [
        f"Idle servers used at most {median(most.idle_cpu):.1%} of a core, while {most.target}"
        f" ({CALLS[most.call].title}, {most.engine}) was measured."
    ]
    return " ".join(notes) + "\n"


def write(results: Results) -> None:
    """Write the results, their plot, and the table in the README."""
    draw_plot(results.scaling)
    RESULTS.write_text(format_document(results))
    README.write_text(replace_table(README.read_text(), readme_table(results.throughput)))


def draw_plot(scaling: Scaling) -> None:
    """Draw the plot in the environment of the baselines, which has matplotlib. Raise `BenchmarkError`."""
    lines = {
        "lists": [plot_line(each) for each in scaling.lists if each.page == FIRST_PAGE],
        "searches": [plot_line(each) for each in scaling.searches],
        "goal": SEARCH_GOAL_MS,
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lines.json"
        path.write_text(json.dumps(lines))
        command = [BASELINES_PYTHON, "-m", "bench.plot", str(path), str(PLOT)]
        completed = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    if completed.returncode:
        reason = (completed.stderr.strip() or "no output").splitlines()[-1]
        raise BenchmarkError(f"the plot could not be drawn: {reason}")


def plot_line(timing: QueryTiming) -> dict[str, Any]:
    """Return a line of the plot: the median latency by number of dogs."""
    return {"engine": timing.engine, "times": {size: median(times) for size, times in timing.times.items()}}


def replace_table(text: str, table: str) -> str:
    """Return the README with its table replaced. Raise `BenchmarkError` if it has no markers."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise BenchmarkError(f"{README.name} has no markers for the table of ratios")
    return f"{before}{begin}\n{table}\n{end}{after}"
