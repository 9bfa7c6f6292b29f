"""Things that are done again and again, each by a thread of its own, and how many of them are done in a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import linear_regression, median

from .measurement import Finding
from .processes import Failed

ROUNDS, SECONDS = 5, 4.0
# Enough that no worker ever waits for its next client, however the kernel shares out their connections.
CLIENTS = 16
JSON = {"Content_Type": "application/json"}
# Something to be done again and again.
Deed = Callable[[], object]


def each_second(deeds: Sequence[Deed], seconds: float) -> float:
    """How many deeds are done in a second, each of them by a thread of its own, again and again.

    The slope of the line through the moments at which they were done: what was not done when the time was over, and
    what is done at one moment with something else, then makes no difference.
    """
    end = time.perf_counter() + seconds
    done: list[float] = []

    def work(deed: Deed) -> None:
        while time.perf_counter() < end:
            deed()
            done.append(time.perf_counter())

    with ThreadPoolExecutor(len(deeds)) as pool:
        list(pool.map(work, deeds))
    moments = sorted(moment for moment in done if moment <= end)
    return linear_regression(moments, range(len(moments))).slope


def timed(deed: Deed) -> float:
    """How many seconds it takes."""
    begun = time.perf_counter()
    deed()
    return time.perf_counter() - begun


def compared(what: str, ours: Sequence[Deed], raw: Sequence[Deed], goal: float) -> list[Finding]:
    """The rate of ours beside that of the raw deed on all cores, taking turns."""
    rates = [(each_second(raw, SECONDS), each_second(ours, SECONDS)) for _ in range(ROUNDS)]
    our, one = (median(column) for column in zip(*((our, one) for one, our in rates), strict=True))
    note = f"{our:.2f} a second, and raw {one:.2f}"
    return [Finding(what, [our / one for one, our in rates], "x", goal, at_least=True, note=note)]


def expect(status: int, answer: tuple[int, bytes, bytes]) -> None:
    """Raise `Failed` for another status."""
    if answer[0] != status:
        raise Failed(f"the server answers {answer[0]} and not {status}: {answer[2][:200].decode(errors='replace')}")
