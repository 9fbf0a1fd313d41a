"""Embeddings of passages under plans, held against the original model's exact ones: JSON lines.

A plan's segments follow each passage's length: l = max(1, tokens // (p * rate)), so that a mean
stands for at least ``rate`` tokens. N tokens.

python examples/minilm/curve.py --model DIR --data passages/test.jsonl --out before.jsonl
python examples/minilm/curve.py --model tuned --reference DIR --data ... --out after.jsonl
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, pad

from prism_edge.accuracy.data import read_samples
from prism_edge.accuracy.scores import Labels, Metric
from prism_edge.families import load
from prism_edge.families.model import Model, Tensors
from prism_edge.layout import shared, token_layout
from prism_edge.plan import LOCAL, Plan
from prism_edge.traffic import wire_bytes

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "ablations"))
from variants import answer, bytes_sent

RANKS, RATES, DTYPE = (2, 4), (2, 4, 8, 16, 32), "fp16"
# at 2 ranks and rate 4: what must do harm, and what might help
CONTROLS = ("unheard", "uncounted", "no-sinks")
IDEAS = ("spread", "salient1", "clusters")
PADDED_TO = 128


Depth = Literal["even", "first", "late"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """``ranks`` 0: the exact model. ``padded``: texts are filled up to PADDED_TO tokens.

    ``depth``: what the blocks hear of as many rows. even: the same each. first: the first block
    every token, which costs no bytes where all ranks have the ids. late: that too, and the others
    the more the later they are."""

    ranks: int = 0
    rate: int = 1
    dtype: str = DTYPE
    variant: str = "plain"
    padded: bool = False
    depth: Depth = "even"

    def plan(self, tokens: int, blocks: int) -> Plan:
        if not self.ranks:
            return LOCAL
        each = rows_by_depth(tokens, self.ranks, self.rate, blocks, self.depth)
        return Plan.parse(f"prism:p={self.ranks},l={'/'.join(map(str, each))},dtype={self.dtype}")


def rows_by_depth(tokens: int, ranks: int, rate: int, blocks: int, depth: Depth) -> tuple[int, ...]:
    """Segments of a rank, for all blocks or for each; after the first block as many in all."""
    count = segments(tokens, ranks, rate)
    if depth == "even":
        return (count,)
    later = blocks - 1
    weights = range(1, blocks) if depth == "late" else (1,) * later
    own = -(-tokens // ranks)
    return (own, *(min(own, 1 + more) for more in shared((count - 1) * later, weights)))


def segments(tokens: int, ranks: int, rate: int) -> int:
    """Of a rank, each of ``rate`` tokens or more where it owns as many."""
    return max(1, tokens // (ranks * rate))


CURVE = [
    Case(),
    *(Case(ranks=p, rate=rate) for p in RANKS for rate in RATES),
    *(Case(ranks=2, rate=rate, depth="late") for rate in RATES),
    Case(ranks=4, rate=4, depth="late"),
]
ABLATIONS = [
    Case(ranks=2, rate=4, depth="first"),
    *(Case(ranks=2, rate=4, variant=name) for name in (*CONTROLS, *IDEAS)),
    *(Case(ranks=2, rate=4, dtype=dtype) for dtype in ("fp32", "int8")),
    *(Case(ranks=2, rate=4, variant=name, padded=True) for name in ("plain", "padded")),
]


def filled(inputs: Tensors) -> Tensors:
    """The same texts with padding behind them, and a mask that says so."""
    room = PADDED_TO - inputs["input_ids"].shape[1]
    mask = torch.ones_like(inputs["input_ids"])
    return {
        name: pad(rows, (0, room)) for name, rows in (*inputs.items(), ("attention_mask", mask))
    }


@torch.inference_mode()
def embeddings(model: Model, case: Case, batches: Sequence[Tensors]) -> Tensor:
    """The mean of every text's own tokens after the last block.  -> [S,D]"""
    found = []
    for inputs in batches:
        tokens = inputs["input_ids"].shape[1]
        prepared = model.prepare(filled(inputs) if case.padded else inputs)
        plan = case.plan(model.tokens(prepared), model.shape.blocks)
        rows = answer(case.variant, model, plan, prepared)["last_hidden_state"]
        found.append(rows[:, :tokens].double().mean(dim=1))
    return torch.cat(found)


def measured(name: str, found: Tensor, exact: Tensor) -> Metric:
    each = cosine_similarity(found, exact, dim=1).numpy()
    return Metric(name=name, n=len(each), of=partial(_mean, each))


def _mean(each: np.ndarray[Any, Any], chosen: Labels) -> float:
    return float(each[chosen].mean())


def bytes_of(model: Model, case: Case, tokens: int) -> tuple[int, int]:
    """What boards send for one text between blocks, and in all, its ids and hidden states too."""
    plan = case.plan(tokens, model.shape.blocks)
    if not plan.exchanges:
        return 0, 0
    whole = bytes_sent(case.variant, model, plan, tokens)
    ends = wire_bytes(plan, model.shape, 1, tokens)
    return whole - ends + token_layout(plan, model.shape, tokens).exchange_bytes(1), whole


def row(
    model: Model, case: Case, lengths: Sequence[int], metrics: Sequence[Metric]
) -> dict[str, Any]:
    """What is written of a case: its scores with 95 % intervals, and the medians over passages of
    its bytes, between blocks and of the whole request, and of the tokens a mean stands for."""
    taken = [PADDED_TO] * len(lengths) if case.padded else lengths
    sent = [bytes_of(model, case, n) for n in taken]
    means = [n / (case.ranks * segments(n, case.ranks, case.rate)) for n in taken if case.ranks]
    scores = [metric.score for metric in metrics]
    return {
        "ranks": case.ranks,
        "rate": case.rate,
        "dtype": case.dtype,
        "variant": case.variant,
        "padded": case.padded,
        "depth": case.depth,
        "between_bytes": median(between for between, _ in sent),
        "wire_bytes": median(whole for _, whole in sent),
        "tokens_per_mean": median(means or [1]),
        "n": len(lengths),
        **{s.metric: {"value": s.value, "low": s.low, "high": s.high} for s in scores},
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--reference", type=Path, help="whose exact embeddings are meant")
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--ablations", action="store_true", help="these too")
    asked = parser.parse_args(arguments)
    model = load(asked.model)
    reference = load(asked.reference) if asked.reference else model
    batches = list(read_samples(asked.data, model, batch=64).inputs)
    lengths = [n for part in batches for n in [part["input_ids"].shape[1]] * len(part["input_ids"])]
    exact = embeddings(reference, Case(), batches)
    own = embeddings(model, Case(), batches) if asked.reference else exact
    plain: Metric | None = None
    with asked.out.open("w", encoding="utf-8") as file:
        for case in (*CURVE, *(ABLATIONS if asked.ablations else ())):
            found = embeddings(model, case, batches)
            to_exact = measured("cosine_to_exact", found, exact)
            metrics = [to_exact, measured("cosine_to_own", found, own)]
            made = row(model, case, lengths, metrics)
            if case in (Case(ranks=2, rate=4), Case(ranks=2, rate=4, padded=True)):
                plain = to_exact
            elif plain is not None and (case.ranks, case.rate) == (2, 4):
                worse = to_exact.drop(plain)
                made["worse_than_plain"] = {
                    "value": worse.value,
                    "low": worse.low,
                    "high": worse.high,
                }
            print(line := json.dumps(made), file=file, flush=True)
            print(line, flush=True)


if __name__ == "__main__":
    main()
