"""Accuracy against the bytes that boards send for a picture, before and after fine-tuning.

python examples/digits/frontier.py --before before.json --after after.json --out frontier.png

The files are what ``prism-edge evaluate --json`` prints; several of them may be given.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from prism_edge.families import load
from prism_edge.layout import ModelShape, token_layout
from prism_edge.palette import MARKS, TONES
from prism_edge.plan import LOCAL, Plan

CHECKPOINT = Path(__file__).parent / "checkpoint"
SIZES = tuple(1 << power for power in range(8, 18))  # bytes, marked
Row = dict[str, Any]


def rows(paths: Sequence[Path]) -> dict[str, Row]:
    """The accuracy of every plan."""
    every = [row for path in paths for row in json.loads(path.read_text())]
    return {row["plan"]: row for row in every if row["metric"] == "accuracy"}


def sent_bytes(row: Row, shape: ModelShape) -> float:
    """What boards send for one picture besides the picture itself."""
    plan = Plan.parse(row["plan"])
    picture = sum(token_layout(plan, shape, shape.tokens).parts[1:]) * shape.token_bytes
    return float(row["wire_bytes"] - picture)


def draw(axes: Axes, title: str, scores: dict[str, Row], exact: float, shape: ModelShape) -> None:
    axes.axhspan(exact - 1, exact, color=TONES["line"].light, label="exact, and 1 point less")
    for label, method, p, dtype in (
        ("prism, int8, 2 boards", "prism", 2, "int8"),
        ("prism, int8, 4 boards", "prism", 4, "int8"),
        ("astra, 2 boards", "astra", 2, None),
        ("astra, 4 boards", "astra", 4, None),
    ):
        plans = [plan for plan in map(Plan.parse, scores) if plan.tap == "after"]
        chosen = [x for x in plans if (x.method, x.p, x.dtype) == (method, p, dtype)]
        points = sorted((sent_bytes(scores[str(plan)], shape), str(plan)) for plan in chosen)
        found = [scores[plan] for _, plan in points]
        if not found:
            continue
        values = [100 * row["value"] for row in found]
        axes.errorbar(
            [sent for sent, _ in points],
            values,
            yerr=[
                [value - 100 * row["ci_low"] for value, row in zip(values, found, strict=True)],
                [100 * row["ci_high"] - value for value, row in zip(values, found, strict=True)],
            ],
            label=label,
            color=TONES[method].light,
            marker=MARKS[method][0],
            markersize=8 if method == "prism" else 11,
            markerfacecolor=TONES[method].light if p == 2 else TONES["paper"].light,
            linestyle="-" if p == 2 else "--",
            elinewidth=0.8,
            capsize=2,
        )
    axes.set_title(title)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(SIZES))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("bytes that boards send for a picture besides the picture itself")
    axes.grid(color=TONES["line"].light)
    axes.set_axisbelow(True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, nargs="+", required=True)
    parser.add_argument("--after", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args(arguments)
    shape = load(CHECKPOINT).shape
    figure = Figure(figsize=(11, 4.8), dpi=100, layout="constrained")
    left, right = figure.subplots(1, 2)
    before, after = rows(asked.before), rows(asked.after)
    exact = 100 * before[str(LOCAL)]["value"]  # of the model as it was
    draw(left, "as it was trained", before, exact, shape)
    draw(right, "after fine-tuning (another scale)", after, exact, shape)
    left.set_ylabel("test images read correctly, %")
    left.legend(loc="lower right")
    figure.savefig(asked.out)


if __name__ == "__main__":
    main()
