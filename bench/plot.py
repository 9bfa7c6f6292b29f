"""Plot the latency of lists and searches by number of dogs: `python -m bench.plot FILE.json FILE.png`.

This runs in `bench/.venv`, which has matplotlib, and imports nothing of Kennel.
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
    """Draw a thin line per list or search, and a thick one through the medians of each engine."""
    for engine, colour in COLOURS.items():
        of_engine = [
            {int(size): ms for size, ms in line["times"].items()} for line in lines if line["engine"] == engine
        ]
        for times in of_engine:
            sizes = sorted(times)
            axes.plot(sizes, [times[size] for size in sizes], color=colour, linewidth=0.6, alpha=0.35)
        sizes = sorted({size for times in of_engine for size in times})
        medians = [median(times[size] for times in of_engine if size in times) for size in sizes]
        if sizes:
            label = f"{engine}: median of {len(of_engine)}"
            axes.plot(sizes, medians, color=colour, linewidth=2.2, marker="o", label=label)
    axes.set(title=title, xscale="log", yscale="log", xlabel="dogs in the database", ylabel="milliseconds per request")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(which="major", alpha=0.3)
    axes.legend(frameon=False)


def draw(results: dict[str, Any], path: Path) -> None:
    """Draw both plots into one picture."""
    mpl.use("Agg")
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    draw_lines(left, results["lists"], "Lists: first page, every sort and filter")
    draw_lines(right, results["searches"], "Searches: the first 20 matches")
    # A fixed lower limit, so that small variations look small.
    left.set_ylim(0.1, max(10, left.get_ylim()[1]))
    right.axhline(results["goal"], color="#868e96", linestyle="--", linewidth=1, label=f"goal: {results['goal']} ms")
    right.legend(frameon=False)
    # No metadata, so that the same figures result in the same file.
    figure.savefig(path, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
