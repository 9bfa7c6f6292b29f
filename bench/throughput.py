"""Requests per second of each target on one core: `python -m bench.throughput`.

Each target has one worker on a core to itself. The load generator runs on another core, as does PostgreSQL; that core
must not be the bottleneck. All targets are started once. The calls are measured one after the other, and in each round
of a call the targets take turns, so that a temporary slowdown of the machine affects all of them.
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

from tests.postgres import Cluster, Databases

from .measurement import Measurement
from .processes import CORES, LOAD_CORES, BenchmarkError, ServerProcess, busy_seconds, cpu_affinity, run_program
from .targets import CALLS, KENNEL, POSTGRESQL, SQLITE, TARGETS, Call, Target, sample_rows, verify_target
from .wrk import build_request, run_load

T = TypeVar("T")
ENGINES = {"sqlite": SQLITE, "postgresql": POSTGRESQL}
PUBLIC_READS, LOGIN_CALLS = ("list", "one"), ("profile", "change", "create")
# Kennel's minimum throughput relative to each baseline.
GOALS = {
    **{(call, "FastAPI"): 8 for call in PUBLIC_READS},
    **{(call, "Django"): 5 for call in PUBLIC_READS},
    **{(call, "lesson"): 4 for call in PUBLIC_READS},
    **{(call, "Express"): 0.8 for call in PUBLIC_READS},
    **{(call, "FastAPI"): 5 for call in LOGIN_CALLS},
    **{(call, "Django"): 3 for call in LOGIN_CALLS},
    **{(call, "Express"): 0.6 for call in LOGIN_CALLS},
    ("one", "empty Flask"): 0.6,
}


@dataclass(frozen=True)
class Schedule:
    """How many rounds, and the seconds of each round and of the warm-up before the first."""

    rounds: int
    seconds: float
    warm_up_seconds: float


FULL, QUICK = Schedule(5, 0.7, 0.4), Schedule(3, 0.4, 0.2)


@dataclass(frozen=True)
class Throughput:
    """The requests per second of one target for one call, a value per round.

    Along with them, as fractions of one core: the CPU use of the server, of the load generator's cores, and of the
    servers that were idle.
    """

    engine: str
    call: str
    target: str
    rates: list[float] = field(default_factory=list)
    server_cpu: list[float] = field(default_factory=list)
    load_cpu: list[float] = field(default_factory=list)
    idle_cpu: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Return the median rate."""
        return statistics.median(self.rates)

    @property
    def utilization(self) -> float:
        """Return the fraction of its core that the server used."""
        return min(1.0, statistics.median(self.server_cpu))

    @property
    def cpu_microseconds(self) -> float:
        """Return the server's CPU time per response."""
        return statistics.median(1e6 * cpu / rate for cpu, rate in zip(self.server_cpu, self.rates, strict=True))


@contextmanager
def database_factory(engine: str, folder: Path) -> Iterator[Callable[[], str]]:
    """Provide a function that creates a database on this engine and returns its URL.

    PostgreSQL has its default durability. It runs on the load generator's cores, and its files are on the same disk as
    those of SQLite.
    """
    if engine == SQLITE:
        numbers = count(1)
        yield lambda: f"sqlite:///{folder.absolute()}/{next(numbers)}.sqlite"
        return
    with (
        cpu_affinity(LOAD_CORES),
        Cluster(tempfile.gettempdir()) as cluster,
        Databases(cluster.url("postgres")) as databases,
        cpu_affinity(CORES),
    ):
        yield databases.create


def prepare_database(name: str, url: str) -> None:
    """Verify that a seeded database syncs each commit to disk, as all must. Raise `BenchmarkError` if it does not.

    Run ANALYZE and CHECKPOINT on PostgreSQL, so that neither happens during a measurement.
    """
    if url.startswith("postgresql"):
        with psycopg.connect(url, autocommit=True) as connection:
            found = [connection.execute(f"SHOW {name}").fetchone() for name in ("fsync", "synchronous_commit")]
            is_durable = found == [("on",), ("on",)]
            connection.execute("ANALYZE")
            connection.execute("CHECKPOINT")
    else:
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file:
            # FULL (2) is durable with either journal mode. It is set per connection; this one leaves the default, as
            # those of some baselines do.
            found = [file.execute(f"PRAGMA {name}").fetchone() for name in ("journal_mode", "synchronous")]
            is_durable = found[0][0] in ("wal", "delete") and found[1] == (2,)
    if not is_durable:
        raise BenchmarkError(f"the database of {name} is not durable: {found}")


@dataclass
class RunningTarget:
    """A target whose server runs, and the headers that authenticate a user there."""

    target: Target
    server: ServerProcess
    headers: dict[str, str]


@contextmanager
def running_targets(engine: str, targets: Sequence[Target], folder: Path) -> Iterator[list[RunningTarget]]:
    """Provide the targets with running servers, each with its database seeded and its responses verified."""
    rows = sample_rows()
    file = folder / "rows.json"
    file.write_text(json.dumps(rows))
    with ExitStack() as stack:
        create_database = stack.enter_context(database_factory(engine, folder))
        running = []
        for target in targets:
            url = create_database()
            if not target.only_path:
                target.seed(url, file)
                prepare_database(target.name, url)
            server = stack.enter_context(target.server(folder / target.name, url))
            headers = {} if target.only_path else verify_target(target.name, server.url, rows)
            running.append(RunningTarget(target, server, headers))
        yield running


def measure_call(
    engine: str, call: Call, running: Sequence[RunningTarget], schedule: Schedule, folder: Path
) -> list[Throughput]:
    """Measure the throughput of one call. The targets take turns in each round."""
    batches = [build_requests(call, each) for each in running]
    results = [Throughput(engine, call.name, each.target.name) for each in running]
    for each, batch in zip(running, batches, strict=True):
        run_load(each.server.url, batch, schedule.warm_up_seconds, folder)
    for _ in range(schedule.rounds):
        for each, batch, result in zip(running, batches, results, strict=True):
            others = [other.server for other in running if other is not each]
            server_cpu, idle_cpu = each.server.cpu_seconds(), sum(other.cpu_seconds() for other in others)
            load_cpu, started = busy_seconds(LOAD_CORES), time.perf_counter()
            responses, seconds = run_load(each.server.url, batch, schedule.seconds, folder)
            # The CPU use of the load generator includes the start and the end of wrk.
            elapsed = time.perf_counter() - started
            result.rates.append(responses / seconds)
            result.server_cpu.append((each.server.cpu_seconds() - server_cpu) / seconds)
            result.load_cpu.append((busy_seconds(LOAD_CORES) - load_cpu) / elapsed)
            result.idle_cpu.append((sum(other.cpu_seconds() for other in others) - idle_cpu) / elapsed)
    return results


def build_requests(call: Call, running: RunningTarget) -> list[dict[str, Any]]:
    """Return the requests of a call to this target. Raise `BenchmarkError` if a conditional one is not answered 304."""
    headers = running.headers if call.needs_login else {}
    if call.is_conditional:
        url = running.server.url + call.paths[0]
        headers = headers | {"If-None-Match": requests.get(url, timeout=30).headers["ETag"]}
        status = requests.get(url, headers=headers, timeout=30).status_code
        if status != 304:
            raise BenchmarkError(f"{running.target.name} responds to {call.title} with {status}")
    paths = [running.target.only_path] if running.target.only_path else call.paths
    return [build_request(call.method, path, headers, body) for body in call.bodies for path in paths]


def measure(
    engines: Sequence[str],
    calls: Sequence[Call],
    targets: Sequence[Target],
    schedule: Schedule,
    echo: Callable[[object], None],
) -> list[Throughput]:
    """Measure all calls of all targets on all engines, and print the throughput of each call as soon as it is known."""
    results: list[Throughput] = []
    for engine in engines:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            supported = [target for target in targets if engine in target.engines]
            with running_targets(engine, supported, folder) as running:
                for call in calls:
                    able = [each for each in running if call.name in each.target.calls]
                    if able:
                        results += measure_call(engine, call, able, schedule, folder)
                        echo(format_throughput(results[-len(able) :]))
    return results


def throughput_ratio(ours: Throughput, theirs: Throughput) -> Measurement:
    """Return Kennel's throughput relative to that of a baseline, a value per round."""
    name = f"{ours.engine}, {CALLS[ours.call].title}: {ours.target} / {theirs.target}"
    ratios = [our_rate / their_rate for our_rate, their_rate in zip(ours.rates, theirs.rates, strict=True)]
    return Measurement(name, ratios, "x", GOALS.get((ours.call, theirs.target)), goal_is_minimum=True)


def format_throughput(results: Sequence[Throughput]) -> str:
    """Return the throughput of one call for a terminal, a line per target."""
    ours = next((each for each in results if each.target == KENNEL.name), None)
    lines = [f"{results[0].engine}, {CALLS[results[0].call].title}: requests per second"]
    for each in results:
        line = f"  {each.target:<12}{each.median:>8.0f}  ({min(each.rates):.0f} to {max(each.rates):.0f})"
        if ours and each is not ours:
            line = f"{line:<42}" + str(throughput_ratio(ours, each)).partition(": ")[2]
        lines.append(line)
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the throughput and print it."""
    parser = argparse.ArgumentParser(prog="python -m bench.throughput", description=(__doc__ or "").splitlines()[0])
    targets = {target.name.lower().replace(" ", "_"): target for target in TARGETS}
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: about two minutes in total")
    for option, choices in (("targets", targets), ("calls", CALLS), ("engines", ENGINES)):
        parser.add_argument(f"--{option}", default=",".join(choices), help=f"comma-separated: {', '.join(choices)}")
    options = parser.parse_args(arguments)

    def select(option: str, choices: Mapping[str, T]) -> list[T]:
        names = getattr(options, option).split(",")
        if not set(names) <= choices.keys():
            parser.error(f"--{option}: {getattr(options, option)} is not among {', '.join(choices)}")
        return [choice for name, choice in choices.items() if name in names]

    measure(
        select("engines", ENGINES),
        select("calls", CALLS),
        select("targets", targets),
        QUICK if options.quick else FULL,
        lambda text: print(text, flush=True),
    )


if __name__ == "__main__":
    run_program(main)
