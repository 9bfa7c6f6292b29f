"""What lists and searches cost with 1,000 dogs and with 1,000,000: `python -m bench.growth`.

Each list is asked for over the API, one request after the other, of one server for each number of dogs. They take
turns, on a core that no other process has.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlencode

import orjson
import psycopg

from models import Session, User, connect, disconnect

from .connection import Connection
from .contenders import KENNEL, POSTGRESQL, SQLITE
from .findings import Finding
from .processes import LOAD_CORES, Failed, on_cores, run_part
from .rates import ENGINES, databases
from .seed import fill

SIZES = (1_000, 10_000, 100_000, 1_000_000)
FEWEST, MOST = SIZES[0], SIZES[-1]
USERS = 1_000
LIMIT, DEEP = 20, 10_000
# Requests of each list: so many times, so many in a row of one server before it is the next one's turn.
TURNS, IN_A_ROW = 20, 10
SEARCHES = 100
# How many times as much a list may cost with most dogs, and how many milliseconds a search may take there.
GROWTH, SEARCH_MS = 1.2, 20
SYLLABLES = [f"{first}{second}" for first in "bdfgklmnprstv" for second in "aeio"]
# One of each four dogs has the most common value, and five in all the rare one. The newest have a breed of their own.
COMMON = {"name": "Bella", "owner": "Anna Müller", "breed": "Labrador Retriever", "user": 1}
RARE = {"name": "Xylophon", "owner": "Quentin Quixote", "breed": "Thai Bangkaew", "user": USERS}
NEWEST = "Xoloitzcuintle"
SORTS = [f"{sign}{name}" for name in ("id", "name", "breed", "owner", "created_at") for sign in ("", "-")]
QUERIES = {
    "nothing": "qqq",
    "5 dogs": "xylophon",
    "the newest 2 %": "xoloitz",
    "1 % of the dogs": "kale",
    "a quarter of the dogs": "lab",
    "nearly all dogs": "an",
}


@dataclass(frozen=True)
class Asked:
    """A list, by its query, and how long it takes, in milliseconds: for each number of dogs, all its requests."""

    engine: str
    what: str
    query: str
    times: dict[int, list[float]] = field(default_factory=dict)

    @property
    def growth(self) -> list[float]:
        """How many times as much it costs with most dogs, for each turn."""
        few, many = (self.times[size] for size in (FEWEST, MOST))
        turns = [slice(begin, begin + IN_A_ROW) for begin in range(0, len(few), IN_A_ROW)]
        return [median(many[turn]) / median(few[turn]) for turn in turns]


def dogs(count: int) -> Iterator[dict[str, Any]]:
    """So many dogs, the same in each run. A few of their values are very common, and many are rare."""
    choice = random.Random(count)
    words = sorted({"".join(choice.choices(SYLLABLES, k=choice.randint(2, 4))).title() for _ in range(20_000)})
    known = {
        "name": words,
        "owner": [f"{choice.choice(words)} {choice.choice(words)}" for _ in range(20_000)],
        "breed": [f"{choice.choice(words)} {kind}" for kind in ("Hound", "Terrier", "Spaniel") for _ in range(100)],
        "user": list(range(2, USERS)),
    }
    # The one at place n comes 1/n as often as the first (Zipf's law).
    weights = {name: list(accumulate(1 / place for place in range(1, len(some) + 1))) for name, some in known.items()}
    begin = datetime(2020, 1, 1, tzinfo=UTC)
    picked = {name: choice.choices(some, cum_weights=weights[name], k=count) for name, some in known.items()}
    rare = range(count // 10, count, count // 5)
    for number in range(count):
        dog = {name: picked[name][number] for name in known}
        for name in known:
            if choice.random() < 0.25:
                dog[name] = COMMON[name]
        if number >= count * 0.98 and dog["breed"] != COMMON["breed"]:
            dog["breed"] = NEWEST
        moment = begin + timedelta(seconds=number * 7919 % count * 60)
        yield (RARE if number in rare else dog) | {"created_at": f"{moment:%Y-%m-%dT%H:%M:%S}.000000Z"}


def fill_with(url: str, count: int) -> str:
    """Fill an empty database with so many dogs, as it would be after a night, and return a token of its first user."""
    names = [f"anna{number}" for number in range(1, USERS + 1)]
    fill(
        url,
        [{"username": name, "email": f"{name}@example.com", "image": f"{name}.webp"} for name in names],
        dogs(count),
    )
    connect(url)
    token = Session.open(User.get_by_id(1)).key
    disconnect()
    if url.startswith("postgresql"):  # its autovacuum would have done so
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")
    return token


def filled(
    folder: Path, new_database: Callable[[], str], engines: Sequence[str]
) -> dict[str, dict[int, tuple[str, str]]]:
    """A database of each size on these engines, made on all cores: their URLs, and a token of the first user."""
    urls = {
        engine: {
            size: f"sqlite:///{folder.absolute()}/{size}.sqlite" if engine == SQLITE else new_database()
            for size in SIZES
        }
        for engine in engines
    }
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        # The largest first, since the others take next to no time.
        tasks = {
            (engine, size): pool.submit(fill_with, urls[engine][size], size)
            for size in reversed(SIZES)
            for engine in urls
        }
        return {engine: {size: (urls[engine][size], tasks[engine, size].result()) for size in SIZES} for engine in urls}


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
    rows = {len(orjson.loads(connections[size].get(path))["data"]) for size, path in paths.items()}
    if len(rows) > 1 or 0 in rows:
        raise Failed(f"{asked.what} has other numbers of dogs in the one database than in the other: {rows}")
    for turn in range(TURNS + 1):
        for size, path in paths.items():
            times = [connections[size].seconds(path) * 1000 for _ in range(IN_A_ROW)]
            if turn:  # the first one is to warm up
                asked.times.setdefault(size, []).extend(times)
    return asked


def search(engine: str, what: str, query: str, connections: dict[int, Connection]) -> Asked:
    """Search on each server."""
    asked = Asked(engine, f"q: {what}", f"q={query}")
    for size, connection in connections.items():
        times = asked.times[size] = []
        connection.seconds(f"/api/v1/dogs?limit={LIMIT}&q={query}")
        while len(times) < SEARCHES and sum(times) < 4000:  # where a search is slow, fewer have to do
            times.append(connection.seconds(f"/api/v1/dogs?limit={LIMIT}&q={query}") * 1000)
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
            found.append(ask(Asked(engine, f"{what}, first page", query), connections, first))
            say(grown(found[-1]))
            if is_long:
                ends = (FEWEST, MOST)
                deep = {size: f"{first[size]}&cursor={deep_cursor(connections[size], query, size)}" for size in ends}
                found.append(ask(Asked(engine, f"{what}, page {DEEP:,}", query), connections, deep))
                say(grown(found[-1]))
        for what, query in QUERIES.items():
            searched.append(search(engine, what, query, strangers))
            for finding in taken(searched[-1]):
                say(finding)
    return found, searched


def grown(asked: Asked) -> Finding:
    """How many times as much a list costs with most dogs."""
    few, many = (median(asked.times[size]) for size in (FEWEST, MOST))
    note = f"{few:.2f} ms, then {many:.2f} ms"
    return Finding(f"{asked.engine}, {asked.what}", asked.growth, "x", GROWTH, note=note)


def taken(asked: Asked) -> list[Finding]:
    """How long a search takes with most dogs."""
    times = asked.times[MOST]
    what = f"{asked.engine}, {asked.what} of {MOST:,}"
    slowest = Finding(f"{what}: the slowest of {len(times)}", [max(times)], " ms", SEARCH_MS)
    return [Finding(f"{what}: median", [median(times)], " ms", SEARCH_MS), slowest]


def measure(
    say: Callable[[object], None], engines: Sequence[str] = (SQLITE, POSTGRESQL)
) -> tuple[list[Asked], list[Asked]]:
    """All lists and all searches on these engines."""
    lists_, searches = [], []
    with tempfile.TemporaryDirectory() as name, databases(POSTGRESQL, Path(name)) as new_database:
        begun = time.perf_counter()
        there = filled(Path(name), new_database, engines)
        say(f"databases of up to {MOST:,} dogs are filled in {time.perf_counter() - begun:.0f} s")
        for engine in engines:
            found, searched = measure_engine(engine, there[engine], Path(name), say)
            lists_ += found
            searches += searched
    return lists_, searches


def main() -> None:
    """Print what was found."""
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--engine", choices=ENGINES, action="append", help="this one alone")
    engines = parser.parse_args().engine or ENGINES
    measure(lambda said: print(said, flush=True), [ENGINES[engine] for engine in engines])


if __name__ == "__main__":
    run_part(main)
