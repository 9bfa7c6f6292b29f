"""What a run of the bench has found, as Markdown: `bench/RESULTS.md`, and the table in the README."""

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

from .datasets import FEWEST, MOST
from .measurement import Finding, figure, findings_table, table
from .processes import Failed
from .profile_layers import profiles_table
from .sampling_profiler import Profile
from .scaling import DEEP, FIRST_PAGE, GROWTH, LIMIT, SEARCH_MS, Asked, Growth, grown, taken
from .targets import CALLS, CONTENDERS, KENNEL, THEIRS
from .throughput import GOALS, OTHERS, READS, Rates, ratio
from .wrk import CONNECTIONS

RESULTS, PLOT, README = ROOT / "bench" / "RESULTS.md", ROOT / "bench" / "scaling.png", ROOT / "README.md"
# Where the README has the table of ratios.
BEGIN, END = "<!-- The table of ratios is written by make bench. -->\n", "<!-- Until here. -->\n"
RIVALS = [contender.name for contender in CONTENDERS if contender is not KENNEL]
TITLES = {
    "FastAPI": "FastAPI",
    "Django": "Django REST framework",
    "lesson": "the lesson's app",
    "Express": "Express",
    "empty Flask": "an empty Flask view",
}
# A server whose core is idle for more than this waits for something else than itself.
BUSY = 0.9
# With less than this to spare, what sends the requests may be what holds a server up.
FULL_LOAD = 0.95
INTRODUCTION = """\
# How fast Kennel is

Written by `make bench`, all in one run, in {minutes:.0f} minutes. Each server has one worker process on a core of its
own; [wrk](https://github.com/wg/wrk) asks it by {connections} connections from another core, where PostgreSQL runs too.
All have the same rows and answer the same calls, which is checked before they are timed, and all write each commit to
the disk. They take turns, round by round. Kennel has everything switched on: sessions, checks of the origin, CORS,
limits, headers, and a line of log for each request. Numbers are medians, with the least and the most of all rounds in
brackets. The rivals are in [rivals/](rivals).
"""
ABOUT_RATIOS = """\
How many times as many requests a second Kennel answers as a rival does: 2x is twice as many, and below 1x Kennel is the
slower one.
"""
ABOUT_RATES = """\
On one core. A percentage says that the server's core worked for that part of the time only: the server waited for the
database, and that for the disk.
"""
ABOUT_LAYERS = """\
Kennel's application alone, without a server, called by one client after the other. A thousand times a second it is
looked which code runs. Below that stands what a request takes of the core, alone and in the real server with its 16
clients: the difference is the server with its threads and sockets, and what threads cost each other.
"""
ABOUT_LOGINS = """\
bcrypt's cost is 12. Kennel has one worker process for each core here, and "raw" is the same work without any server, on
as many cores.
"""
ABOUT_GROWTH = f"""\
Lists of {LIMIT} dogs over the API, one request after the other: how many times as long they take with {MOST:,} dogs as
with {FEWEST:,}, and how long they take then. The goal is at most {GROWTH:g}x. The deep page is page {DEEP:,}; among
{FEWEST:,} dogs it is a full page near their end. A search for three letters or more has to take at most {SEARCH_MS} ms.
"""


@dataclass(frozen=True)
class Results:
    """All that one run has found."""

    rates: Sequence[Rates]
    profiles: Sequence[Profile]
    logins: Sequence[Finding]
    growth: Growth
    memory: Sequence[Finding]
    start: Sequence[Finding]
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    seconds: float


def ratios_of(rates: Sequence[Rates]) -> dict[tuple[str, str, str], Finding]:
    """How many times as fast as each rival Kennel is, by engine, call and rival."""
    ours = {(each.engine, each.call): each for each in rates if each.contender == KENNEL.name}
    return {
        (each.engine, each.call, each.contender): ratio(ours[each.engine, each.call], each)
        for each in rates
        if each.contender != KENNEL.name and (each.engine, each.call) in ours
    }


def rows_of(rates: Sequence[Rates]) -> list[tuple[str, str]]:
    """Engines and calls, in the order in which they were measured."""
    return list(dict.fromkeys((each.engine, each.call) for each in rates))


def ratio_table(rates: Sequence[Rates]) -> str:
    """The table of ratios, with the goals above the calls that they are for."""
    ratios = ratios_of(rates)
    rivals = [rival for rival in RIVALS if any(rival == found for _, _, found in ratios)]
    rows = []
    for names, what in ((READS, "*goal for the list and one dog*"), (OTHERS, "*goal for what needs a login*")):
        some = [(engine, call) for engine, call in rows_of(rates) if call in names]
        if some:
            rows.append([what, *[goals_of(names, rival) for rival in rivals]])
            rows += [
                [f"{CALLS[call].title}, {engine}", *[cell(ratios.get((engine, call, rival))) for rival in rivals]]
                for engine, call in some
            ]
    return table(["", *[TITLES[rival] for rival in rivals]], rows)


def goals_of(calls: Sequence[str], rival: str) -> str:
    """What is to be reached beside a rival."""
    goals = {f"*{GOALS[call, rival]:g}x*" for call in calls if (call, rival) in GOALS}
    return ", ".join(sorted(goals))


def cell(found: Finding | None) -> str:
    """A ratio in its table."""
    if not found:
        return ""
    verdict = f", {found.verdict}" if found.verdict else ""
    return f"{found.value} ({found.spread}){verdict}"


def rate_table(rates: Sequence[Rates]) -> str:
    """Requests a second of all, Kennel's beside those of its rivals."""
    there = {(each.engine, each.call, each.contender): each for each in rates}
    names = [KENNEL.name, *[rival for rival in RIVALS if any(rival == name for _, _, name in there)]]
    rows = [
        [f"{CALLS[call].title}, {engine}", *[rate(there.get((engine, call, name))) for name in names]]
        for engine, call in rows_of(rates)
    ]
    return table(["", *[TITLES.get(name, name) for name in names]], rows)


def rate(found: Rates | None) -> str:
    """A rate in its table."""
    if not found:
        return ""
    waits = f", {found.busy:.0%}" if found.busy < BUSY else ""
    return f"{figure(found.median)} ({figure(min(found.rounds))} to {figure(max(found.rounds))}){waits}"


def growth_table(lists: Sequence[Asked]) -> str:
    """How much each list grows, on each engine."""
    columns = list(dict.fromkeys((each.engine, each.page) for each in lists))
    there = {(each.engine, each.page, each.what): grown(each) for each in lists}
    milliseconds = {(each.engine, each.page, each.what): median(each.times[MOST]) for each in lists}

    def cell(place: tuple[str, str, str]) -> str:
        if place not in there:
            return ""
        missed = "" if there[place].is_met else f", {there[place].verdict}"
        return f"{there[place].value}, {figure(milliseconds[place])} ms{missed}"

    names = dict.fromkeys(each.what for each in lists)
    rows = [[name, *[cell((engine, page, name)) for engine, page in columns]] for name in names]
    return table(["", *[f"{engine}, {page}" for engine, page in columns]], rows)


def findings_of(results: Results) -> list[Finding]:
    """Everything that has a goal."""
    found = [
        *ratios_of(results.rates).values(),
        *results.logins,
        *results.growth.findings,
        *results.memory,
        *results.start,
    ]
    return [each for each in found if each.goal is not None]


def summary(results: Results) -> str:
    """How many goals are met, those that are not, and where Express is faster."""
    found = findings_of(results)
    missed = [each for each in found if not each.is_met]
    slower = [
        f"{CALLS[call].title} on {engine} ({each.value})"
        for (engine, call, rival), each in ratios_of(results.rates).items()
        if rival == "Express" and each.median < 1
    ]
    lines = [f"**{len(found) - len(missed)} of {len(found)} goals are met.**" + (" Not met:" if missed else ""), ""]
    lines += [f"- {each.what}: {each.value} and not {each.wanted}" for each in missed]
    lines += [""] if missed else []
    lines += [
        "Slower than hand-written Express: " + ("; ".join(slower) if slower else "nothing of what is measured") + "."
    ]
    return "\n".join(lines) + "\n"


def document(results: Results) -> str:
    """All of `bench/RESULTS.md`."""
    engines = list(dict.fromkeys(each.engine for each in results.profiles))
    parts = [
        INTRODUCTION.format(minutes=results.seconds / 60, connections=CONNECTIONS),
        summary(results),
        "## Beside the rivals\n",
        ABOUT_RATIOS,
        ratio_table(results.rates),
        "## Requests a second\n",
        ABOUT_RATES,
        rate_table(results.rates),
        *load_notes(results.rates),
        "## Where Kennel's time goes\n",
        ABOUT_LAYERS,
    ]
    for engine in engines:
        some = [each for each in results.profiles if each.engine == engine]
        parts += [f"On {engine}:\n", profiles_table(some, results.rates)]
    parts += ["## Logins and registrations\n", ABOUT_LOGINS, findings_table(results.logins)]
    parts += ["## Growth\n", ABOUT_GROWTH, f"![The time of lists and searches by the number of dogs]({PLOT.name})\n"]
    parts += [growth_table(results.growth.lists), f"Searches among {MOST:,} dogs:\n"]
    parts += [findings_table([taken(each) for each in results.growth.searches])]
    for engine in dict.fromkeys(each.engine for each in results.growth.profiles):
        some = [each for each in results.growth.profiles if each.engine == engine]
        parts += [f"Where the time of the slowest goes that miss their goal, on {engine}:\n", profiles_table(some)]
    parts += ["## Memory and start\n", findings_table([*results.memory, *results.start])]
    facts = {**results.versions, **results.machine}
    parts += ["## Versions and machine\n", "".join(f"- {name}: {fact}\n" for name, fact in facts.items())]
    return "\n".join(parts)


def load_notes(rates: Sequence[Rates]) -> list[str]:
    """Who may have held the servers up: the load's core, and servers that were not asked."""
    full = [
        f"{each.contender} ({CALLS[each.call].title}, {each.engine}: {median(each.load):.0%})"
        for each in rates
        if median(each.load) > FULL_LOAD
    ]
    lines = [f"The load's core was busy, and may have held up: {'; '.join(full)}."] if full else []
    most = max(rates, key=lambda each: median(each.idle))
    asked = f"{most.contender} ({CALLS[most.call].title}, {most.engine})"
    lines += [f"Servers that were not asked took at most {median(most.idle):.1%} of the core, while {asked} was."]
    return [" ".join(lines) + "\n"]


def write(results: Results) -> None:
    """Write the results, their plot, and the README's table."""
    draw(results.growth)
    RESULTS.write_text(document(results))
    README.write_text(with_table(README.read_text(), ratio_table(results.rates)))


def draw(growth: Growth) -> None:
    """Draw the plot, by the Python that has matplotlib. Raises `Failed`."""
    lines = {
        "lists": [line(each) for each in growth.lists if each.page == FIRST_PAGE],
        "searches": [line(each) for each in growth.searches],
        "goal": SEARCH_MS,
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lines.json"
        path.write_text(json.dumps(lines))
        done = subprocess.run(
            [THEIRS, "-m", "bench.plot", str(path), str(PLOT)], check=False, cwd=ROOT, capture_output=True, text=True
        )
    if done.returncode:
        raise Failed(f"the plot can't be drawn: {(done.stderr.strip() or '?').splitlines()[-1]}")


def line(asked: Asked) -> dict[str, Any]:
    """A line of the plot."""
    return {"engine": asked.engine, "times": {size: median(times) for size, times in asked.times.items()}}


def with_table(text: str, ratios: str) -> str:
    """The README with this table of ratios in its place. Raises `Failed` where it has none."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise Failed(f"{README.name} has no place for the table of ratios")
    return f"{before}{begin}\n{ratios}\n{end}{after}"
