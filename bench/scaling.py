"""Latency of lists and searches with 1,000 to 1,000,000 dogs: `python -m bench.scaling`.

Each list is requested over the API, one request after the other, from one server per number of dogs. The servers take
turns, on a core to themselves.
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
from .datasets import COMMON_VALUES, LARGEST, RARE_VALUES, SIZES, SMALLEST, fill_databases
from .measurement import Measurement
from .processes import LOAD_CORES, BenchmarkError, cpu_affinity, run_program
from .profile_layers import format_profiles, profile_calls
from .sampling_profiler import Profile
from .targets import KENNEL, POSTGRESQL, SQLITE
from .throughput import ENGINES, database_factory
from .wrk import build_request

LIMIT, DEEP_PAGE_NUMBER = 20, 10_000
FIRST_PAGE, DEEP_PAGE = "first page", f"page {DEEP_PAGE_NUMBER:,}"
# Each list: how many turns each server has, and how many requests in each turn.
TURNS, REQUESTS_PER_TURN = 40, 5
# Each search: how many requests, unless they take longer than this in total.
SEARCH_REQUESTS, SEARCH_BUDGET_MS = 100, 2000
# How many of the queries that miss their goal are profiled.
PROFILED_QUERIES = 3
# The goals: latency of a list with most dogs relative to that with fewest, and latency of a search with most dogs.
GROWTH_GOAL, SEARCH_GOAL_MS = 1.2, 20
SORTS = [f"{sign}{name}" for name in ("id", "name", "breed", "owner", "created_at") for sign in ("", "-")]
SEARCHES = {
    "no dogs": "qqq",
    "5 dogs": "xylophon",
    "the newest 2%": "xoloitz",
    "1% of the dogs": "kale",
    "a quarter of the dogs": "lab",
    "nearly all dogs, two letters": "an",
}


@dataclass(frozen=True)
class QueryTiming:
    """A list or a search, and the latencies of its requests in milliseconds, by number of dogs."""

    engine: str
    name: str
    page: str  # empty for a search
    query: str
    times: dict[int, list[float]] = field(default_factory=dict)
    # Its request to the largest database.
    request: dict[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Return the list and its page, or the search."""
        return f"{self.name}, {self.page}" if self.page else f"`{self.query}`, {self.name}"

    @property
    def growth(self) -> Measurement:
        """Return the latency with most dogs relative to that with fewest, a value per turn."""
        small, large = (self.times[size] for size in (SMALLEST, LARGEST))
        turns = [slice(start, start + REQUESTS_PER_TURN) for start in range(0, len(small), REQUESTS_PER_TURN)]
        ratios = [median(large[turn]) / median(small[turn]) for turn in turns]
        note = f"{median(small):.2f} ms, then {median(large):.2f} ms"
        return Measurement(f"{self.engine}, {self.title}", ratios, "x", GROWTH_GOAL, note=note)

    @property
    def latency(self) -> Measurement:
        """Return the latency with most dogs. There is a goal for searches for three letters or more."""
        goal = SEARCH_GOAL_MS if len(self.query.removeprefix("q=")) > 2 else None
        return Measurement(f"{self.engine}, {self.title}", self.times[LARGEST], " ms", goal)

    @property
    def measurement(self) -> Measurement:
        """Return what has the goal: the growth of a list, the latency of a search."""
        return self.growth if self.page else self.latency


def find_deep_cursor(connection: Connection, query: str, size: int) -> str:
    """Return the cursor of the deep page, or of a page near the end if there are fewer dogs."""
    cursor, passed, skipped = "", 0, LIMIT * (DEEP_PAGE_NUMBER - 1)
    while passed < skipped:
        limit = min(100, skipped - passed)
        path = f"/api/v1/dogs?{query}&limit={limit}" + (f"&cursor={cursor}" if cursor else "")
        page = orjson.loads(connection.get(path))["page"]
        if page["next"] is None:
            break
        cursor = page["next"]
        passed += limit
    if size == LARGEST and passed < skipped:
        raise BenchmarkError(f"{query} has no page {DEEP_PAGE_NUMBER:,}")
    return cursor


def list_queries() -> Iterator[tuple[str, str, bool]]:
    """Yield the name and query of each list, and whether it is long enough for a deep page."""
    for sort in SORTS:
        yield f"sort={sort}", f"sort={sort}", True
    for matches, values, is_long in (("every fourth dog", COMMON_VALUES, True), ("five dogs", RARE_VALUES, False)):
        for name, value in values.items():
            name = "user_id" if name == "user" else name
            yield f"{name}= matching {matches}", urlencode({name: value}), is_long
    yield "mine=true, every fourth dog", "mine=true", True


def time_list(timing: QueryTiming, connections: dict[int, Connection], paths: dict[int, str]) -> QueryTiming:
    """Time a list on each server, in turns. Raise `BenchmarkError` if they return different numbers of dogs."""
    timing.request.update(build_request("GET", paths[LARGEST], connections[LARGEST].headers))
    counts = {len(orjson.loads(connections[size].get(path))["data"]) for size, path in paths.items()}
    if len(counts) > 1 or 0 in counts:
        raise BenchmarkError(f"{timing.title} returns different numbers of dogs, depending on the database: {counts}")
    for turn in range(TURNS + 1):
        for size, path in paths.items():
            times = [connections[size].time_get(path) * 1000 for _ in range(REQUESTS_PER_TURN)]
            if turn:  # the first one is the warm-up
                timing.times.setdefault(size, []).extend(times)
    return timing


def time_search(engine: str, name: str, query: str, connections: dict[int, Connection]) -> QueryTiming:
    """Time a search on each server."""
    path = f"/api/v1/dogs?limit={LIMIT}&q={query}"
    timing = QueryTiming(engine, name, "", f"q={query}", request=build_request("GET", path, {}))
    for size, connection in connections.items():
        times = timing.times[size] = []
        connection.time_get(path)
        while len(times) < SEARCH_REQUESTS and sum(times) < SEARCH_BUDGET_MS:
            times.append(connection.time_get(path) * 1000)
    return timing


def measure_engine(
    engine: str, databases: dict[int, tuple[str, str]], folder: Path, echo: Callable[[object], None]
) -> tuple[list[QueryTiming], list[QueryTiming]]:
    """Return the timings of all lists and of all searches on one engine."""
    lists, searches = [], []
    with ExitStack() as stack:
        anonymous, users = {}, {}
        for size, (url, token) in databases.items():
            server = stack.enter_context(KENNEL.server(folder / f"{engine} {size}", url))
            anonymous[size] = stack.enter_context(Connection(server.url))
            users[size] = stack.enter_context(Connection(server.url, {"Authorization": f"Bearer {token}"}))
        stack.enter_context(cpu_affinity(LOAD_CORES))
        for name, query, is_long in list_queries():
            connections = users if query.startswith("mine") else anonymous
            first = dict.fromkeys(SIZES, f"/api/v1/dogs?{query}&limit={LIMIT}")
            lists.append(time_list(QueryTiming(engine, name, FIRST_PAGE, query), connections, first))
            echo(lists[-1].growth)
            if is_long:
                deep = {
                    size: f"{first[size]}&cursor={find_deep_cursor(connections[size], query, size)}"
                    for size in (SMALLEST, LARGEST)
                }
                lists.append(time_list(QueryTiming(engine, name, DEEP_PAGE, query), connections, deep))
                echo(lists[-1].growth)
        for name, query in SEARCHES.items():
            searches.append(time_search(engine, name, query, anonymous))
            echo(searches[-1].latency)
    return lists, searches


def profile_slowest(timings: Sequence[QueryTiming], url: str, folder: Path) -> list[Profile]:
    """Profile the slowest of those that miss their goal, on the largest database."""
    missed = [timing for timing in timings if not timing.measurement.is_met]
    missed.sort(key=lambda timing: median(timing.times[LARGEST]), reverse=True)
    if not missed:
        return []
    calls = {timing.title: [timing.request] for timing in missed[:PROFILED_QUERIES]}
    return profile_calls(missed[0].engine, url, folder, calls)


@dataclass
class Scaling:
    """The timings of all lists and searches, and profiles of some that miss their goal."""

    lists: list[QueryTiming] = field(default_factory=list)
    searches: list[QueryTiming] = field(default_factory=list)
    profiles: list[Profile] = field(default_factory=list)

    @property
    def measurements(self) -> list[Measurement]:
        """Return the measurements of all lists and searches."""
        return [timing.measurement for timing in (*self.lists, *self.searches)]


def measure(echo: Callable[[object], None], engines: Sequence[str] = (SQLITE, POSTGRESQL)) -> Scaling:
    """Time all lists and searches on these engines."""
    scaling = Scaling()
    with tempfile.TemporaryDirectory() as name, database_factory(POSTGRESQL, Path(name)) as create_database:
        started = time.perf_counter()
        databases = fill_databases(Path(name), create_database, engines)
        echo(f"filled databases of up to {LARGEST:,} dogs in {time.perf_counter() - started:.0f} s")
        for engine in engines:
            lists, searches = measure_engine(engine, databases[engine], Path(name), echo)
            scaling.lists += lists
            scaling.searches += searches
            profiles = profile_slowest([*lists, *searches], databases[engine][LARGEST][0], Path(name))
            scaling.profiles += profiles
            if profiles:
                echo(f"profile of the slowest on {engine}, in microseconds\n{format_profiles(profiles)}")
    return scaling


def main() -> None:
    """Time all lists and searches and print the results."""
    parser = argparse.ArgumentParser(prog="python -m bench.scaling", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--engine", choices=ENGINES, action="append", help="only this engine")
    engines = parser.parse_args().engine or ENGINES
    measure(lambda text: print(text, flush=True), [ENGINES[engine] for engine in engines])


if __name__ == "__main__":
    run_program(main)
