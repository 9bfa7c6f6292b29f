"""Closed-loop load: each thread repeats an operation without pause, and the rate of completions is measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import linear_regression, median

from .measurement import Measurement
from .processes import BenchmarkError

ROUNDS, ROUND_SECONDS = 5, 4.0
# Enough that no worker ever waits for its next request, however the kernel distributes the connections.
CLIENTS = 16
JSON = {"Content_Type": "application/json"}
Operation = Callable[[], object]


def measure_rate(operations: Sequence[Operation], seconds: float) -> float:
    """Return how many operations complete per second while one thread for each of them repeats it.

    The rate is the slope of the regression line through the completion times. It is not distorted by operations that
    are unfinished at the end, nor by those that complete together. Raise `BenchmarkError` if fewer than two complete.
    """
    end = time.perf_counter() + seconds
    completed: list[float] = []

    def work(operation: Operation) -> None:
        while time.perf_counter() < end:
            operation()
            completed.append(time.perf_counter())

    with ThreadPoolExecutor(len(operations)) as pool:
        list(pool.map(work, operations))
    times = sorted(time for time in completed if time <= end)
    if len(times) < 2:
        raise BenchmarkError(f"fewer than two operations completed within {seconds:.0f} s")
    return linear_regression(times, range(len(times))).slope


def time_call(operation: Operation) -> float:
    """Return the seconds that one call takes."""
    started = time.perf_counter()
    operation()
    return time.perf_counter() - started


def compare_rates(name: str, ours: Sequence[Operation], raw: Sequence[Operation], goal: float) -> list[Measurement]:
    """Measure Kennel's rate relative to that of the raw operation on all cores, in alternating rounds."""
    rates = [(measure_rate(raw, ROUND_SECONDS), measure_rate(ours, ROUND_SECONDS)) for _ in range(ROUNDS)]
    raw_rates, our_rates = zip(*rates, strict=True)
    ratios = [our_rate / raw_rate for raw_rate, our_rate in rates]
    note = f"{median(our_rates):.2f} per second, raw {median(raw_rates):.2f}"
    return [Measurement(name, ratios, "x", goal, goal_is_minimum=True, note=note)]


def expect_status(status: int, response: tuple[int, bytes, bytes]) -> None:
    """Raise `BenchmarkError` if the response has another status."""
    if response[0] != status:
        body = response[2][:200].decode(errors="replace")
        raise BenchmarkError(f"the server responded with {response[0]} instead of {status}: {body}")
