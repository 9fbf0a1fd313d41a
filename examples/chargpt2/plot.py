"""Perplexity against the bytes that travel between blocks, before and after fine-tuning.

python examples/chargpt2/plot.py --before before.json --after after.json --out accuracy-gpt2.png
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from train import CONTEXT, config

from prism_edge.layout import ModelShape, token_layout
from prism_edge.palette import MARKS, TONES
from prism_edge.plan import Plan
from prism_edge.report import units

Row = dict[str, Any]
SERIES = {  # shown: of these plans
    "prism, 2 boards": ("prism", 2),
    "prism, 4 boards": ("prism", 4),
    "astra, 2 boards": ("astra", 2),
    "astra, 4 boards": ("astra", 4),
}


def shape() -> ModelShape:
    """What decides the sizes of messages of the model that train.py makes."""
    made = config()
    return ModelShape(
        family="gpt2",
        tokens=CONTEXT,
        fixed_tokens=False,
        width=made.n_embd,
        heads=made.n_head,
        blocks=made.n_layer,
        ffn=4 * made.n_embd,
        causal=True,
        lead=1,
        trail=0,
        class_token=False,
        needs="all",
        token_bytes=2,
        output_fixed=0,
        output_per_token=made.vocab_size,
    )


def between_blocks(plan: Plan) -> int:
    """Bytes of all messages between blocks for one text of all positions."""
    return token_layout(plan, shape(), CONTEXT).exchange_bytes(1)


def draw(axes: Axes, title: str, rows: list[Row]) -> None:
    scores = {row["plan"]: row for row in rows if row["metric"] == "perplexity"}
    axes.axhline(scores["local"]["value"], color=TONES["local"].light, label="exact")
    for label, (method, p) in SERIES.items():
        plans = [Plan.parse(text) for text in scores]
        points = sorted(
            (between_blocks(plan), scores[str(plan)]["value"])
            for plan in plans
            if (plan.method, plan.p, plan.tap) == (method, p, "after")
            and plan.dtype in (None, "fp16")
            and not isinstance(plan.l, tuple)
        )
        axes.plot(
            [sent for sent, _ in points],
            [value for _, value in points],
            label=label,
            color=TONES[method].light,
            marker=MARKS[method][0],
            markersize=8,
            linestyle="-" if p == 2 else "--",
            markerfacecolor=TONES[method].light if p == 2 else "white",
        )
    axes.set_title(title)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: units.size(x)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("bytes between blocks for a text of 256 characters")
    axes.grid(color=TONES["line"].light)
    axes.set_axisbelow(True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, required=True, help="evaluate's --json rows")
    parser.add_argument("--after", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    figure = Figure(figsize=(10.8, 4.6), dpi=100, layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    draw(left, "as trained", json.loads(asked.before.read_text()))
    draw(right, "after fine-tuning", json.loads(asked.after.read_text()))
    left.set_ylabel("perplexity of characters 128 to 255")
    right.legend(loc="upper right")
    figure.savefig(asked.out)


if __name__ == "__main__":
    main()
