"""What a plan scores when its segment means are done otherwise, sample by sample against as it is.

python examples/ablations/compare.py --model examples/digits/checkpoint --data test.npz \
    --plans "prism:p=2,l=4;prism:p=2,l=8" --variants "uncounted;strips;strips+spread"
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import torch
from variants import answer, bytes_sent

from prism_edge.accuracy.data import Samples, read_samples
from prism_edge.accuracy.evaluate import Arrays, joined, metrics_of, reduced
from prism_edge.accuracy.scores import Score
from prism_edge.families import load
from prism_edge.families.model import Model
from prism_edge.plan import LOCAL, Plan

Row = dict[str, Any]


@torch.inference_mode()
def outputs(variant: str, model: Model, plan: Plan, samples: Samples) -> Arrays:
    """What scores need of a plan's answers to all samples."""
    parts, start = [], 0
    for inputs in samples.inputs:
        stop = start + len(next(iter(inputs.values())))
        counted = None if samples.scored is None else samples.scored[start:stop]
        found = answer(variant, model, plan, model.prepare(inputs))
        parts.append(reduced(model, found, inputs, counted))
        start = stop
    return joined(parts)


def compare(
    model: Model,
    samples: Samples,
    plans: list[Plan],
    variants: list[str],
    wanted: set[str],
) -> Iterator[Row]:
    """A row for every plan, variant and ``wanted`` metric (none: all). How much worse it is than
    the exact model, and than the plan as it is, is told sample by sample."""
    local = outputs("plain", model, LOCAL, samples)
    exact = metrics_of(local, local, samples)
    lengths = [model.tokens(model.prepare(inputs)) for inputs in samples.inputs]
    for plan in dict.fromkeys((LOCAL, *plans)):
        plain = exact
        for variant in ("plain", *variants) if plan.exchanges else ("plain",):
            found = metrics_of(outputs(variant, model, plan, samples), local, samples)
            plain = found if variant == "plain" else plain
            sent = median(bytes_sent(variant, model, plan, tokens) for tokens in lengths)
            for metric, was, meant in zip(found, plain, exact, strict=True):
                if not wanted or metric.name in wanted:
                    yield {
                        "plan": str(plan),
                        "variant": variant,
                        "wire_bytes": sent,
                        **fields(metric.score),
                        "worse_than_exact": fields(metric.drop(meant)),
                        "worse_than_plain": fields(metric.drop(was)),
                    }


def fields(score: Score) -> Row:
    return {
        "metric": score.metric,
        "value": score.value,
        "n": score.n,
        "ci_low": score.low,
        "ci_high": score.high,
    }


def line(row: Row) -> str:
    ends = f"{row['ci_low']:.4f} to {row['ci_high']:.4f}"
    worse = row["worse_than_plain"]
    less = f"{worse['value']:+.4f} ({worse['ci_low']:+.4f} to {worse['ci_high']:+.4f})"
    return (
        f"{row['plan']:36} {row['variant']:16} {row['metric']:15} {row['value']:8.4f}  {ends}  "
        f"{row['wire_bytes']:>9,.0f}  {less if row['variant'] != 'plain' else ''}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", required=True, help="as prism-edge evaluate takes it")
    parser.add_argument("--plans", required=True)
    parser.add_argument("--variants", default="", help="with ; between them; + joins two")
    parser.add_argument("--metrics", default="", help="only these, with ; between them")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    model = load(asked.model)
    samples = read_samples(asked.data, model, batch=asked.batch, limit=asked.limit)
    plans = [Plan.parse(text) for text in asked.plans.split(";") if text.strip()]
    variants = [name for name in asked.variants.split(";") if name]
    wanted = {name for name in asked.metrics.split(";") if name}
    for row in compare(model, samples, plans, variants, wanted):
        print(json.dumps(row) if asked.json else line(row), flush=True)


if __name__ == "__main__":
    main()
