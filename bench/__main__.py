"""Measures Kennel beside its rivals and writes `bench/RESULTS.md`, its plot, and the table in the README: `make bench`.

Nothing else should run meanwhile. `make bench-quick` prints the first table alone.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import TypeVar

from tests.live_server import ROOT

from . import environment, logins, memory, profile_layers, report, scaling, startup, throughput
from .processes import run_part
from .targets import CALLS, CONTENDERS

T = TypeVar("T")
ENGINES = list(throughput.ENGINES.values())


def say(said: object) -> None:
    """Print it at once."""
    print(said, flush=True)


def part(name: str, measure: Callable[..., T]) -> T:
    """Measure a part, and say how long that took."""
    say(f"\n{name}\n")
    begun = time.perf_counter()
    found = measure()
    say(f"\n({time.perf_counter() - begun:.0f} s)")
    return found


def measure_all() -> report.Results:
    """All parts, one after the other."""
    begun = time.perf_counter()
    # What may fail for want of something comes first.
    versions, hardware = environment.versions(), environment.machine()
    return report.Results(
        versions=versions,
        machine=hardware,
        rates=part(
            "Requests a second", lambda: throughput.run(ENGINES, list(CALLS.values()), CONTENDERS, throughput.FULL, say)
        ),
        profiles=part("Where Kennel's time goes, in microseconds", lambda: profile_layers.measure(say)),
        start=part("Start", lambda: startup.measure(say)),
        logins=part("Logins and registrations", lambda: logins.measure(say)),
        memory=part("Memory", lambda: memory.measure(say)),
        growth=part("Growth", lambda: scaling.measure(say)),
        seconds=time.perf_counter() - begun,
    )


def main() -> None:
    """Measure all parts and write down what was found; or the rates alone, and print them."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the first table alone, in two minutes, and write nothing")
    if parser.parse_args().quick:
        calls = [CALLS[name] for name in (*throughput.READS, *throughput.OTHERS)]
        say(f"\n{report.ratio_table(throughput.run(ENGINES, calls, CONTENDERS, throughput.QUICK, say))}")
        return
    results = measure_all()
    report.write(results)
    say(f"\n{report.summary(results)}\nAll of it is in {report.RESULTS.relative_to(ROOT)}.")


if __name__ == "__main__":
    run_part(main)
