"""Benchmark Kennel against its baselines and write `bench/RESULTS.md`, its plot and the table in the README.

`make bench` needs an idle machine. `make bench-quick` measures the throughput only, and writes no files.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import TypeVar

from tests.live_server import ROOT

from . import environment, logins, memory, profile_layers, report, scaling, startup, throughput
from .processes import run_program
from .targets import CALLS, TARGETS

T = TypeVar("T")
ENGINES = list(throughput.ENGINES.values())


def echo(text: object) -> None:
    """Print and flush, so that progress shows while the output is piped."""
    print(text, flush=True)


def run_part(title: str, measure: Callable[[], T]) -> T:
    """Run one benchmark, and print its title and how long it took."""
    echo(f"\n{title}\n")
    started = time.perf_counter()
    results = measure()
    echo(f"\n({time.perf_counter() - started:.0f} s)")
    return results


def measure_all() -> report.Results:
    """Run all benchmarks, one after the other."""
    started = time.perf_counter()
    # First, since it fails where a program is missing.
    versions, hardware = environment.collect_versions(), environment.describe_hardware()
    return report.Results(
        versions=versions,
        hardware=hardware,
        throughput=run_part(
            "Throughput",
            lambda: throughput.measure(ENGINES, list(CALLS.values()), TARGETS, throughput.FULL, echo),
        ),
        profiles=run_part("Profile, in microseconds", lambda: profile_layers.measure(echo)),
        startup=run_part("Startup", lambda: startup.measure(echo)),
        logins=run_part("Logins and registrations", lambda: logins.measure(echo)),
        memory=run_part("Memory", lambda: memory.measure(echo)),
        scaling=run_part("Scaling with data size", lambda: scaling.measure(echo)),
        seconds=time.perf_counter() - started,
    )


def main() -> None:
    """Run all benchmarks and write the results, or measure the throughput and print it."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="throughput only, in two minutes, without writing files")
    if parser.parse_args().quick:
        calls = [CALLS[name] for name in (*throughput.PUBLIC_READS, *throughput.LOGIN_CALLS)]
        echo(f"\n{report.ratio_table(throughput.measure(ENGINES, calls, TARGETS, throughput.QUICK, echo))}")
        return
    results = measure_all()
    report.write(results)
    echo(f"\n{report.summarize(results)}\nThe full results are in {report.RESULTS.relative_to(ROOT)}.")


if __name__ == "__main__":
    run_program(main)
