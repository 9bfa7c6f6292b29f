"""Draws how long lists and searches take by the number of dogs: `python -m bench.plot FILE.json FILE.png`.

It is run by the Python of `bench/.venv`, where matplotlib is, and imports nothing of Kennel.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot
from matplotlib.axes import Axes

COLOURS = {"SQLite": "#0b7285", "PostgreSQL": "#c2255c"}


def draw_lines(axes: Axes, lines: list[dict[str, Any]], title: str) -> None:
    """One thin line for each list or search, and a thick one through the medians of each engine."""
    for engine, colour in COLOURS.items():
        some = [line for line in lines if line["engine"] == engine]
        sizes = sorted({int(size) for line in some for size in line["times"]})
        for line in some:
            there = [size for size in sizes if str(size) in line["times"]]
            axes.plot(there, [line["times"][str(size)] for size in there], color=colour, linewidth=0.6, alpha=0.35)
        middle = [median(line["times"][str(size)] for line in some if str(size) in line["times"]) for size in sizes]
        if sizes:
            axes.plot(sizes, middle, color=colour, linewidth=2.2, marker="o", label=f"{engine}: median of {len(some)}")
    axes.set(title=title, xscale="log", yscale="log", xlabel="dogs in the database", ylabel="milliseconds a request")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(which="major", alpha=0.3)
    axes.legend(frameon=False)


def draw(found: dict[str, Any], path: Path) -> None:
    """Draw both plots into one picture."""
    mpl.use("Agg")
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    draw_lines(left, found["lists"], "Lists: first page, by every sort and filter")
    draw_lines(right, found["searches"], "Searches: the first 20 dogs with a text")
    # From its bottom on, so that small waves look small.
    left.set_ylim(0.1, max(10, left.get_ylim()[1]))
    right.axhline(found["goal"], color="#868e96", linestyle="--", linewidth=1, label=f"goal: {found['goal']} ms")
    right.legend(frameon=False)
    # Without a date, so that the same numbers make the same file.
    figure.savefig(path, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
