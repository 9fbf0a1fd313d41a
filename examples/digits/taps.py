"""How often prism agrees with the exact digits model, by segments and by tap, on the test images.

python examples/digits/taps.py
"""

from __future__ import annotations

from pathlib import Path

import torch
from data import load_split
from torch import Tensor

from prism_edge.errors import PeerLostError
from prism_edge.families import load
from prism_edge.families.model import Model
from prism_edge.plan import Plan
from prism_edge.request import follow, lead
from prism_edge.spans import Recorder
from prism_edge.transport.loopback import loopback_group, run_ranks

CHECKPOINT = Path(__file__).parent / "checkpoint"


def logits(model: Model, plan: Plan, images: Tensor) -> Tensor:
    """Every rank a thread, messages as on the wire.  uint8 [N,3,32,32] -> [N,10]"""
    group = loopback_group(plan.p)

    def leader() -> Tensor:
        try:
            return lead(model, "digits", plan, {"pixel_values": images}, group[0], Recorder())[
                "logits"
            ]
        finally:
            group[0].close()

    def worker(rank: int) -> Tensor:
        try:
            while True:
                follow({"digits": model}, group[rank])
        except PeerLostError:
            return images[:0]

    workers = [lambda rank=rank: worker(rank) for rank in range(1, plan.p)]
    return run_ranks([leader, *workers])[0]


def main() -> None:
    model = load(CHECKPOINT)
    _, _, images, labels = load_split()
    test, truth = torch.from_numpy(images), torch.from_numpy(labels)
    exact = logits(model, Plan.parse("local"), test).argmax(dim=1)
    print(f"{len(truth)} test images, local {float((exact == truth).float().mean()):.4f} correct")
    print("p   l   after: correct  agrees   before: correct  agrees")
    for p in (2, 4):
        for l in (1, 2, 4, 8, 16):  # noqa: E741
            line = f"{p}  {l:2}"
            for tap in ("after", "before"):
                plan = Plan.parse(f"prism:p={p},l={l},dtype=fp16,tap={tap}")
                found = logits(model, plan, test).argmax(dim=1)
                correct, agrees = (found == truth).float().mean(), (found == exact).float().mean()
                line += f"          {float(correct):.4f}  {float(agrees):.4f}"
            print(line)


if __name__ == "__main__":
    main()
