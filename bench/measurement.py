"""What was measured, beside what it should be."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """Numbers of one thing, a median of them, and the bound that this should keep, where there is one."""

    what: str
    numbers: Sequence[float]
    unit: str = ""
    goal: float | None = None
    # Whether the goal is the least that is good, or the most.
    at_least: bool = False
    # More about it, for those who ask.
    note: str = ""

    @property
    def median(self) -> float:
        """The number that half of them reach."""
        return statistics.median(self.numbers)

    @property
    def is_met(self) -> bool:
        """Whether the goal is met; so it is where there is none."""
        if self.goal is None:
            return True
        return self.median >= self.goal if self.at_least else self.median <= self.goal

    @property
    def value(self) -> str:
        """The median with its unit."""
        return f"{figure(self.median)}{self.unit}"

    @property
    def spread(self) -> str:
        """From the least to the most, where there is more than one number."""
        few = len(self.numbers) < 2
        return "" if few else f"{figure(min(self.numbers))} to {figure(max(self.numbers))}"

    @property
    def wanted(self) -> str:
        """The goal, where there is one."""
        return "" if self.goal is None else f"{'at least' if self.at_least else 'at most'} {self.goal:g}{self.unit}"

    @property
    def verdict(self) -> str:
        """Whether the goal is met, in words."""
        return "" if self.goal is None else "met" if self.is_met else "**NOT met**"

    def __str__(self) -> str:
        """A line for a terminal."""
        parts = [f"{self.what}: {self.value}"]
        parts += [f"({self.spread})"] if self.spread else []
        parts += [f"- {self.wanted}: {self.verdict.strip('*')}"] if self.wanted else []
        parts += [f"- {self.note}"] if self.note else []
        return " ".join(parts)


def figure(number: float) -> str:
    """A number with three digits that count."""
    if number == 0:
        return "0"
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.1f}" if abs(number) >= 10 else f"{number:.2f}"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown: texts on the left of their columns, all after the first one on the right."""
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def findings_table(findings: Sequence[Finding]) -> str:
    """A table in Markdown of these."""
    rows = [[each.what, each.value, each.spread, each.wanted, each.verdict, each.note] for each in findings]
    # A column that says nothing is left out.
    heads = ("", "median", "spread", "goal", "", "")
    used = [place for place in range(len(heads)) if place == 0 or any(row[place] for row in rows)]
    return table([heads[place] for place in used], [[row[place] for place in used] for row in rows])
