"""A measured quantity with its goal, and how measurements are shown in Markdown tables."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Measurement:
    """The values measured for one quantity, and the goal for their median, if there is one."""

    name: str
    values: Sequence[float]
    unit: str = ""
    goal: float | None = None
    # Whether the goal is a lower bound instead of an upper one.
    goal_is_minimum: bool = False
    note: str = ""

    @property
    def median(self) -> float:
        """Return the median of the values."""
        return statistics.median(self.values)

    @property
    def is_met(self) -> bool:
        """Return whether the median meets the goal, as it does where there is none."""
        if self.goal is None:
            return True
        return self.median >= self.goal if self.goal_is_minimum else self.median <= self.goal

    @property
    def median_text(self) -> str:
        """Return the median with its unit."""
        return f"{format_number(self.median)}{self.unit}"

    @property
    def range_text(self) -> str:
        """Return the minimum and maximum, or an empty string if there is only one value."""
        if len(self.values) < 2:
            return ""
        return f"{format_number(min(self.values))} to {format_number(max(self.values))}"

    @property
    def goal_text(self) -> str:
        """Return the goal with its unit, or an empty string if there is none."""
        if self.goal is None:
            return ""
        return f"{'at least' if self.goal_is_minimum else 'at most'} {self.goal:g}{self.unit}"

    @property
    def verdict(self) -> str:
        """Return whether the goal is met, in words, or an empty string if there is none."""
        return "" if self.goal is None else "met" if self.is_met else "**NOT met**"

    def __str__(self) -> str:
        """Return one line for a terminal."""
        parts = [f"{self.name}: {self.median_text}"]
        parts += [f"({self.range_text})"] if self.range_text else []
        parts += [f"- {self.goal_text}: {self.verdict.strip('*')}"] if self.goal_text else []
        parts += [f"- {self.note}"] if self.note else []
        return " ".join(parts)


def format_number(number: float) -> str:
    """Return a number with three significant digits."""
    if number == 0:
        return "0"
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.1f}" if abs(number) >= 10 else f"{number:.2f}"


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table, with its first column aligned left and the others right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def format_measurements(measurements: Sequence[Measurement]) -> str:
    """Return a Markdown table of measurements, without the columns that would be empty."""
    rows = [
        [each.name, each.median_text, each.range_text, each.goal_text, each.verdict, each.note] for each in measurements
    ]
    header = ("", "median", "range", "goal", "", "")
    used = [index for index in range(len(header)) if index == 0 or any(row[index] for row in rows)]
    return format_table([header[index] for index in used], [[row[index] for index in used] for row in rows])
