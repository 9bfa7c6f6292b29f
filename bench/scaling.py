"""What lists and searches cost with 1,000 dogs and with 1,000,000: `python -m bench.scaling`.

Each list is asked for over the API, one request after the other, of one server for each number of dogs. They take
turns, on a core that no other process has.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlencode

import orjson

from .connection import Connection
from .datasets import COMMON, FEWEST, MOST, RARE, SIZES, filled
from .measurement import Finding
from .processes import LOAD_CORES, Failed, on_cores, run_part
from .profile_layers import look_at, profiles_table
from .sampling_profiler import Profile
from .targets import KENNEL, POSTGRESQL, SQLITE
from .throughput import ENGINES, databases
from .wrk import request

LIMIT, DEEP = 20, 10_000
FIRST_PAGE, DEEP_PAGE = "first page", f"page {DEEP:,}"
# Requests of each list: so many times, so many in a row of one server before it is the next one's turn.
TURNS, IN_A_ROW = 40, 5
# How often each search is asked for, and how many milliseconds that may take: where one is slow, fewer have to do.
SEARCHES, SLOW_MS = 100, 2000
# How many of those that miss their goal are looked at, to see where their time goes.
LOOKED_AT = 3
# How many times as much a list may cost with most dogs, and how many milliseconds a search may take there.
GROWTH, SEARCH_MS = 1.2, 20
SORTS = [f"{sign}{name}" for name in ("id", "name", "breed", "owner", "created_at") for sign in ("", "-")]
QUERIES = {
    "nothing": "qqq",
    "5 dogs": "xylophon",
    "the newest 2 %": "xoloitz",
    "1 % of the dogs": "kale",
    "a quarter of the dogs": "lab",
    "nearly all dogs, by two letters": "an",
}


@dataclass(frozen=True)
class Asked:
    """A list, by its query, and how long it takes, in milliseconds: for each number of dogs, all its requests."""

    engine: str
    what: str
    page: str
    query: str
    times: dict[int, list[float]] = field(default_factory=dict)
    # Its request where there are most dogs.
    sent: dict[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The list and the page, or the search."""
        return f"{self.what}, {self.page}" if self.page else f"`{self.query}`, {self.what}"

    @property
    def growth(self) -> list[float]:
        """How many times as much it costs with most dogs, for each turn."""
        few, many = (self.times[size] for size in (FEWEST, MOST))
        turns = [slice(begin, begin + IN_A_ROW) for begin in range(0, len(few), IN_A_ROW)]
        return [median(many[turn]) / median(few[turn]) for turn in turns]


def deep_cursor(connection: Connection, query: str, size: int) -> str:
    """The cursor of the deep page, or where there are fewer dogs, of a page near their end."""
    found, passed, wanted = "", 0, LIMIT * (DEEP - 1)
    while passed < wanted:
        limit = min(100, wanted - passed)
        path = f"/api/v1/dogs?{query}&limit={limit}" + (f"&cursor={found}" if found else "")
        page = orjson.loads(connection.get(path))["page"]
        if page["next"] is None:
            break
        found = page["next"]
        passed += limit
    if size == MOST and passed < wanted:
        raise Failed(f"{query} has no page {DEEP:,}")
    return found


def lists() -> Iterator[tuple[str, str, bool]]:
    """Each list: what it is, its query, and whether it is long enough for a deep page."""
    for sort in SORTS:
        yield f"sort={sort}", f"sort={sort}", True
    for what, values, is_long in (("every fourth dog", COMMON, True), ("five dogs", RARE, False)):
        for name, value in values.items():
            name = "user_id" if name == "user" else name
            yield f"{name}= of {what}", urlencode({name: value}), is_long
    yield "mine=true, every fourth dog", "mine=true", True


def ask(asked: Asked, connections: dict[int, Connection], paths: dict[int, str]) -> Asked:
    """Ask each server for its list, in turns. Raises `Failed` where they have not equally many dogs to send."""
    asked.sent.update(request("GET", paths[MOST], connections[MOST].headers))
    rows = {len(orjson.loads(connections[size].get(path))["data"]) for size, path in paths.items()}
    if len(rows) > 1 or 0 in rows:
        raise Failed(f"{asked.title} has other numbers of dogs in the one database than in the other: {rows}")
    for turn in range(TURNS + 1):
        for size, path in paths.items():
            times = [connections[size].seconds(path) * 1000 for _ in range(IN_A_ROW)]
            if turn:  # the first one is to warm up
                asked.times.setdefault(size, []).extend(times)
    return asked


def search(engine: str, what: str, query: str, connections: dict[int, Connection]) -> Asked:
    """Search on each server."""
    path = f"/api/v1/dogs?limit={LIMIT}&q={query}"
    asked = Asked(engine, what, "", f"q={query}", sent=request("GET", path, {}))
    for size, connection in connections.items():
        times = asked.times[size] = []
        connection.seconds(path)
        while len(times) < SEARCHES and sum(times) < SLOW_MS:
            times.append(connection.seconds(path) * 1000)
    return asked


def measure_engine(
    engine: str, there: dict[int, tuple[str, str]], folder: Path, say: Callable[[object], None]
) -> tuple[list[Asked], list[Asked]]:
    """All lists and all searches on one engine."""
    found, searched = [], []
    with ExitStack() as stack:
        strangers, users = {}, {}
        for size, (url, token) in there.items():
            server = stack.enter_context(KENNEL.started(folder / f"{engine} {size}", url))
            strangers[size] = stack.enter_context(Connection(server.url))
            users[size] = stack.enter_context(Connection(server.url, {"Authorization": f"Bearer {token}"}))
        stack.enter_context(on_cores(LOAD_CORES))
        for what, query, is_long in lists():
            connections = users if query.startswith("mine") else strangers
            first = dict.fromkeys(SIZES, f"/api/v1/dogs?{query}&limit={LIMIT}")
            found.append(ask(Asked(engine, what, FIRST_PAGE, query), connections, first))
            say(grown(found[-1]))
            if is_long:
                ends = (FEWEST, MOST)
                deep = {size: f"{first[size]}&cursor={deep_cursor(connections[size], query, size)}" for size in ends}
                found.append(ask(Asked(engine, what, DEEP_PAGE, query), connections, deep))
                say(grown(found[-1]))
        for what, query in QUERIES.items():
            searched.append(search(engine, what, query, strangers))
            say(taken(searched[-1]))
    return found, searched


def where_it_goes(asked: Sequence[Asked], url: str, folder: Path) -> list[Profile]:
    """The profiles of the worst that miss their goal, with most dogs."""
    missed = [each for each in asked if not finding_of(each).is_met]
    missed.sort(key=lambda each: median(each.times[MOST]), reverse=True)
    if not missed:
        return []
    return look_at(missed[0].engine, url, folder, {each.title: [each.sent] for each in missed[:LOOKED_AT]})


def finding_of(asked: Asked) -> Finding:
    """What was found of a list or a search."""
    return taken(asked) if asked.query.startswith("q=") else grown(asked)


def grown(asked: Asked) -> Finding:
    """How many times as much a list costs with most dogs."""
    few, many = (median(asked.times[size]) for size in (FEWEST, MOST))
    note = f"{few:.2f} ms, then {many:.2f} ms"
    return Finding(f"{asked.engine}, {asked.title}", asked.growth, "x", GROWTH, note=note)


def taken(asked: Asked) -> Finding:
    """How long a search takes with most dogs. Of fewer than three letters it may take its time."""
    goal = SEARCH_MS if len(asked.query.removeprefix("q=")) > 2 else None
    return Finding(f"{asked.engine}, {asked.title}", asked.times[MOST], " ms", goal)


@dataclass
class Growth:
    """All lists and all searches, and the profiles of some that miss their goal."""

    lists: list[Asked] = field(default_factory=list)
    searches: list[Asked] = field(default_factory=list)
    profiles: list[Profile] = field(default_factory=list)
    seconds_to_fill: float = 0

    @property
    def findings(self) -> list[Finding]:
        """What was found of all of them."""
        return [finding_of(asked) for asked in (*self.lists, *self.searches)]


def measure(say: Callable[[object], None], engines: Sequence[str] = (SQLITE, POSTGRESQL)) -> Growth:
    """All lists and all searches on these engines."""
    growth = Growth()
    with tempfile.TemporaryDirectory() as name, databases(POSTGRESQL, Path(name)) as new_database:
        begun = time.perf_counter()
        there = filled(Path(name), new_database, engines)
        growth.seconds_to_fill = time.perf_counter() - begun
        say(f"databases of up to {MOST:,} dogs are filled in {growth.seconds_to_fill:.0f} s")
        for engine in engines:
            found, searched = measure_engine(engine, there[engine], Path(name), say)
            growth.lists += found
            growth.searches += searched
            profiles = where_it_goes([*found, *searched], there[engine][MOST][0], Path(name))
            growth.profiles += profiles
            if profiles:
                say(f"where the time goes on {engine}, in microseconds\n{profiles_table(profiles)}")
    return growth


def main() -> None:
    """Print what was found."""
    parser = argparse.ArgumentParser(prog="python -m bench.scaling", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--engine", choices=ENGINES, action="append", help="this one alone")
    engines = parser.parse_args().engine or ENGINES
    measure(lambda said: print(said, flush=True), [ENGINES[engine] for engine in engines])


if __name__ == "__main__":
    run_part(main)
