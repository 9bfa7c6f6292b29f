"""How many requests a second each contender answers on one core, side by side: `python -m bench.throughput`.

Each has one worker on a core of its own. The load comes from another core, where PostgreSQL runs too, and which must
not be what holds it up. All are started once. The calls are measured one after the other, and for each of them the
contenders take turns, so that what slows the machine down for a while slows all of them.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import requests

from tests.postgres import Databases

from .measurement import Finding
from .postgres import Postgres
from .processes import CORES, LOAD_CORES, Failed, Running, busy_seconds, on_cores, run_part
from .targets import CALLS, CONTENDERS, KENNEL, POSTGRESQL, SQLITE, Call, Contender, check, sample
from .wrk import load, request

T = TypeVar("T")
ENGINES = {"sqlite": SQLITE, "postgresql": POSTGRESQL}
READS, OTHERS = ("list", "one"), ("profile", "change", "create")
# How many times as fast as a rival Kennel should be at least.
GOALS = {
    **{(call, "FastAPI"): 8 for call in READS},
    **{(call, "Django"): 5 for call in READS},
    **{(call, "lesson"): 4 for call in READS},
    **{(call, "Express"): 0.8 for call in READS},
    **{(call, "FastAPI"): 5 for call in OTHERS},
    **{(call, "Django"): 3 for call in OTHERS},
    **{(call, "Express"): 0.6 for call in OTHERS},
    ("one", "empty Flask"): 0.6,
}


@dataclass(frozen=True)
class Pace:
    """How many rounds, the seconds of a measurement, and those of the warm-up before the first."""

    rounds: int
    seconds: float
    warm_up: float


FULL, QUICK = Pace(5, 0.7, 0.4), Pace(3, 0.4, 0.2)


@dataclass(frozen=True)
class Rates:
    """The requests a second of one contender for one call, a number for each round.

    Beside them, which part of its core the server used, how busy the load's cores were, and which part of a core those
    took that were not measured.
    """

    engine: str
    call: str
    contender: str
    rounds: list[float] = field(default_factory=list)
    server: list[float] = field(default_factory=list)
    load: list[float] = field(default_factory=list)
    idle: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The rate that half of the rounds reach."""
        return statistics.median(self.rounds)

    @property
    def busy(self) -> float:
        """Which part of its core the server used."""
        return min(1.0, statistics.median(self.server))

    @property
    def cpu(self) -> float:
        """What an answer took of the server's core, in microseconds."""
        return statistics.median(1e6 * busy / rate for busy, rate in zip(self.server, self.rounds, strict=True))


@contextmanager
def databases(engine: str, folder: Path) -> Iterator[Callable[[], str]]:
    """What makes the URL of a new database on this engine each time it is called.

    PostgreSQL writes down what it has committed, as by default. It runs on the load's core, and keeps its files where
    those of SQLite are.
    """
    if engine == SQLITE:
        numbers = count(1)
        yield lambda: f"sqlite:///{folder.absolute()}/{next(numbers)}.sqlite"
        return
    with (
        on_cores(LOAD_CORES),
        Postgres(tempfile.gettempdir()) as cluster,
        Databases(cluster.url("postgres")) as made,
        on_cores(CORES),
    ):
        yield made.create


def settle(name: str, url: str) -> None:
    """Make sure that a contender's new database writes each commit to the disk, as those of all others do.

    Let PostgreSQL learn what its rows are like, and write them down, so that it need not do so later. Raises `Failed`.
    """
    if url.startswith("postgresql"):
        with psycopg.connect(url, autocommit=True) as connection:
            found = [connection.execute(f"SHOW {name}").fetchone() for name in ("fsync", "synchronous_commit")]
            is_durable = found == [("on",), ("on",)]
            connection.execute("ANALYZE")
            connection.execute("CHECKPOINT")
    else:
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file:
            # FULL, which is 2, is durable with either journal. It is for each connection to say; this one says nothing
            # of it, as those of some rivals do.
            found = [file.execute(f"PRAGMA {name}").fetchone() for name in ("journal_mode", "synchronous")]
            is_durable = found[0][0] in ("wal", "delete") and found[1] == (2,)
    if not is_durable:
        raise Failed(f"{name} does not keep its database as all others do: {found}")


@dataclass
class Entrant:
    """A contender that runs, and the headers by which a user is logged in there."""

    contender: Contender
    server: Running
    headers: dict[str, str]


@contextmanager
def entrants(engine: str, contenders: Sequence[Contender], folder: Path) -> Iterator[list[Entrant]]:
    """All contenders of an engine, each with a database of its own, checked. Only one at a time gets requests."""
    rows = sample()
    file = folder / "rows.json"
    file.write_text(json.dumps(rows))
    with ExitStack() as stack:
        new_database = stack.enter_context(databases(engine, folder))
        there = []
        for contender in contenders:
            url = new_database()
            if not contender.instead:
                contender.fill(url, file)
                settle(contender.name, url)
            server = stack.enter_context(contender.started(folder / contender.name, url))
            headers = {} if contender.instead else check(contender.name, server.url, rows)
            there.append(Entrant(contender, server, headers))
        yield there


def measure(engine: str, call: Call, there: Sequence[Entrant], pace: Pace, folder: Path) -> list[Rates]:
    """The rates of one call, the contenders taking turns in each round."""
    sent = [requests_of(call, entrant) for entrant in there]
    measured = [Rates(engine, call.name, entrant.contender.name) for entrant in there]
    for entrant, some in zip(there, sent, strict=True):
        load(entrant.server.url, some, pace.warm_up, folder)
    for _ in range(pace.rounds):
        for entrant, some, rates in zip(there, sent, measured, strict=True):
            others = [other.server for other in there if other is not entrant]
            used, idle = entrant.server.cpu_seconds(), sum(other.cpu_seconds() for other in others)
            busy, begun = busy_seconds(LOAD_CORES), time.perf_counter()
            answered, seconds = load(entrant.server.url, some, pace.seconds, folder)
            # What was used is that of the whole time, in which wrk starts and ends too.
            whole = time.perf_counter() - begun
            rates.rounds.append(answered / seconds)
            rates.server.append((entrant.server.cpu_seconds() - used) / seconds)
            rates.load.append((busy_seconds(LOAD_CORES) - busy) / whole)
            rates.idle.append((sum(other.cpu_seconds() for other in others) - idle) / whole)
    return measured


def requests_of(call: Call, entrant: Entrant) -> list[dict[str, Any]]:
    """The requests of a call to this contender."""
    headers = entrant.headers if call.logged_in else {}
    if call.is_known:
        url = entrant.server.url + call.paths[0]
        headers = headers | {"If-None-Match": requests.get(url, timeout=30).headers["ETag"]}
        status = requests.get(url, headers=headers, timeout=30).status_code
        if status != 304:
            raise Failed(f"{entrant.contender.name} answers {call.title} with {status}")
    paths = [entrant.contender.instead] if entrant.contender.instead else call.paths
    return [request(call.method, path, headers, body) for body in call.bodies for path in paths]


def run(
    engines: Sequence[str], calls: Sequence[Call], contenders: Sequence[Contender], pace: Pace, say: Callable[..., None]
) -> list[Rates]:
    """Measure all of these, and say each call's rates when they are there."""
    measured: list[Rates] = []
    for engine in engines:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            some = [contender for contender in contenders if engine in contender.engines]
            with entrants(engine, some, folder) as there:
                for call in calls:
                    able = [entrant for entrant in there if call.name in entrant.contender.calls]
                    if able:
                        measured += measure(engine, call, able, pace, folder)
                        say(told(measured[-len(able) :]))
    return measured


def ratio(ours: Rates, theirs: Rates) -> Finding:
    """How many times as fast as a rival we are for a call, in each round."""
    what = f"{ours.engine}, {CALLS[ours.call].title}: {ours.contender} / {theirs.contender}"
    numbers = [our / their for our, their in zip(ours.rounds, theirs.rounds, strict=True)]
    return Finding(what, numbers, "x", GOALS.get((ours.call, theirs.contender)), at_least=True)


def told(rates: Sequence[Rates]) -> str:
    """The rates of one call, for a terminal."""
    ours = next((each for each in rates if each.contender == KENNEL.name), None)
    lines = [f"{rates[0].engine}, {CALLS[rates[0].call].title}: requests a second"]
    for each in rates:
        line = f"  {each.contender:<12}{each.median:>8.0f}  ({min(each.rounds):.0f} to {max(each.rounds):.0f})"
        if ours and each is not ours:
            line = f"{line:<42}" + str(ratio(ours, each)).partition(": ")[2]
        lines.append(line)
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the rates."""
    parser = argparse.ArgumentParser(prog="python -m bench.throughput", description=(__doc__ or "").splitlines()[0])
    names = {contender.name.lower().replace(" ", "_"): contender for contender in CONTENDERS}
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: about two minutes in all")
    for option, known in (("only", names), ("calls", CALLS), ("engines", ENGINES)):
        parser.add_argument(f"--{option}", default=",".join(known), help=f"some of these: {', '.join(known)}")
    options = parser.parse_args(arguments)

    def chosen(option: str, known: Mapping[str, T]) -> list[T]:
        wanted = getattr(options, option).split(",")
        if not set(wanted) <= known.keys():
            parser.error(f"--{option}: {getattr(options, option)} is not among {', '.join(known)}")
        return [item for name, item in known.items() if name in wanted]

    run(
        chosen("engines", ENGINES),
        chosen("calls", CALLS),
        chosen("only", names),
        QUICK if options.quick else FULL,
        lambda text: print(text, flush=True),
    )


if __name__ == "__main__":
    run_part(main)
