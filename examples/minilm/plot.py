"""What curve.py wrote, before and after training: a figure, and the tables of the documentation.

python examples/minilm/plot.py --before before.jsonl --after after.jsonl --out accuracy-minilm.png
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

from prism_edge.palette import TONES
from prism_edge.report import units
from prism_edge.report.svg import png

WIDTH_PX, HEIGHT_PX = 1080, 520
BARS = (0.975, 0.99)
CURVES = {  # ranks and depth, as curve.py has them: what it is called, its colour
    (2, "late"): ("2 boards, late", TONES["split"].light),
    (2, "even"): ("2 boards, even", TONES["prism"].light),
    (4, "even"): ("4 boards, even", TONES["local"].light),
}
SCORE = "cosine_to_exact"
PLAN = ("ranks", "depth", "rate")
Row = dict[str, Any]


def rows(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def usual(row: Row) -> bool:
    """A plan as it is."""
    return row["variant"] == "plain" and row["dtype"] == "fp16" and not row["padded"]


def curve(found: Sequence[Row], ranks: int, depth: str) -> list[Row]:
    """Those of so many ranks, by rate."""
    return [r for r in found if (r["ranks"], r["depth"]) == (ranks, depth) and usual(r)]


def paint(figure: Figure, before: Sequence[Row], after: Sequence[Row]) -> None:
    left, right = figure.subplots(1, 2, sharey=True)
    figure.subplots_adjust(left=0.075, right=0.985, bottom=0.125, top=0.8, wspace=0.06)
    for axes, key in ((left, "tokens_per_mean"), (right, "between_bytes")):
        for (ranks, depth), (name, colour) in CURVES.items():
            for found, when, style, face in (
                (before, "as it is", "--", TONES["paper"].light),
                (after, "trained", "-", colour),
            ):
                rows_of_it = curve(found, ranks, depth)
                if rows_of_it:
                    line(axes, key, rows_of_it, colour, f"{name}, {when}", style, face)
        for bar in BARS:
            axes.axhline(bar, color=TONES["soft"].light, linewidth=0.8, linestyle=":")
        axes.set_xscale("log", base=2)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.grid(axis="y")
    left.set_ylabel("mean cosine to the exact embedding")
    left.set_xlabel("tokens that a mean stands for (CR)")
    left.xaxis.set_major_locator(FixedLocator([2, 4, 8, 16, 32]))
    left.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.0f}"))
    right.set_xlabel("bytes between blocks for a passage")
    right.xaxis.set_major_locator(FixedLocator([2**i * 1000 for i in range(2, 10)]))
    right.xaxis.set_major_formatter(FuncFormatter(lambda x, _: units.size(x)))
    handles, labels = left.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="upper left", bbox_to_anchor=(0.07, 0.92), ncols=4, frameon=False
    )
    figure.suptitle("MiniLM on 500 passages of English", x=0.02, ha="left", fontweight="bold")


def line(
    axes: Axes, key: str, found: Sequence[Row], colour: str, label: str, style: str, face: str
) -> None:
    """One curve with its intervals; two rates that come to the same plan are one point."""
    points = {row[key]: row[SCORE] for row in found}
    places = sorted(points)
    axes.errorbar(
        places,
        [points[x]["value"] for x in places],
        yerr=[
            [points[x]["value"] - points[x]["low"] for x in places],
            [points[x]["high"] - points[x]["value"] for x in places],
        ],
        label=label,
        color=colour,
        linestyle=style,
        marker="o",
        markerfacecolor=face,
        elinewidth=0.8,
        capsize=2,
    )


def table(before: Sequence[Row], after: Sequence[Row]) -> list[str]:
    """A line per plan: tokens that a mean stands for, bytes, and the cosine before and after."""
    lines = []
    for row in filter(usual, before):
        same = [x for x in after if usual(x) and all(x[k] == row[k] for k in PLAN)]
        trained = [score(x[key]) for x in same[:1] for key in (SCORE, "cosine_to_own")]
        cells = [
            *(str(row[key]) for key in PLAN),
            f"{row['tokens_per_mean']:.1f}",
            f"{row['between_bytes']:,.0f}",
            f"{row['wire_bytes']:,.0f}",
            score(row[SCORE]),
            *(trained or ["", ""]),
        ]
        lines.append(" | ".join(cells))
    return lines


def others(found: Sequence[Row]) -> list[str]:
    """A line per variant: bytes, cosine, and how much worse it is than the plan as it is."""
    lines = []
    for row in (row for row in found if "worse_than_plain" in row or row["padded"]):
        worse = row.get("worse_than_plain")
        cells = [
            f"{row['variant']}, {row['dtype']}, {row['depth']}{', padded' * row['padded']}",
            f"{row['between_bytes']:,.0f}",
            score(row[SCORE]),
            "" if worse is None else score(worse),
        ]
        lines.append(" | ".join(cells))
    return lines


def score(found: dict[str, float]) -> str:
    return f"{found['value']:.4f} ({found['low']:.4f} to {found['high']:.4f})"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, required=True)
    parser.add_argument("--after", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args(arguments)
    before = rows(asked.before)
    after = rows(asked.after) if asked.after else []
    asked.out.write_bytes(png(WIDTH_PX, HEIGHT_PX, lambda figure: paint(figure, before, after)))
    print("\n".join([*table(before, after), "", *others(before)]))


if __name__ == "__main__":
    main()
