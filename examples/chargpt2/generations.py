"""How far greedy continuations after a plan's prefill are those of the exact model.

python examples/chargpt2/generations.py --model chargpt2 --text text/test.txt --plans prism:p=2,l=16
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from prism_edge.accuracy.scores import Metric, Score, hit
from prism_edge.errors import PeerLostError
from prism_edge.families import load
from prism_edge.families.model import Model
from prism_edge.generate import generate
from prism_edge.plan import LOCAL, Plan
from prism_edge.request import follow
from prism_edge.sampling import Sampling
from prism_edge.serve.tokenizer import read_tokenizer
from prism_edge.spans import Recorder
from prism_edge.transport.loopback import loopback_group, run_ranks

PROMPT, ANSWER = 192, 64  # characters


def prompts(ids: list[int], count: int) -> Tensor:
    """Prompts from all over a text, at equal distances.  -> [count,PROMPT]"""
    step = (len(ids) - PROMPT) // max(1, count - 1)
    return torch.tensor([ids[start * step : start * step + PROMPT] for start in range(count)])


def answers(model: Model, plan: Plan, asked: Tensor) -> Tensor:
    """Every rank a thread, messages as on the wire.  [B,PROMPT] -> [B,ANSWER]"""
    sampling = Sampling(max_new_tokens=ANSWER)
    group = loopback_group(plan.p)

    def leader() -> Tensor:
        try:
            steps = generate(
                model, "gpt2", plan, {"input_ids": asked}, sampling, group[0], Recorder()
            )
            return torch.tensor([step.ids for step in steps]).T
        finally:
            group[0].close()

    def worker(rank: int) -> Tensor:
        try:
            while True:
                follow({"gpt2": model}, group[rank])
        except PeerLostError:
            return asked[:0]

    workers = [lambda rank=rank: worker(rank) for rank in range(1, plan.p)]
    return run_ranks([leader, *workers])[0]


def compared(found: Tensor, exact: Tensor) -> list[Score]:
    """The share of equal first characters, equal answers, and how many characters are the same
    before the first that is not.  [B,ANSWER], [B,ANSWER]"""
    same = (found == exact).numpy()
    until = same.cumprod(axis=1).sum(axis=1)
    return [
        hit("first", same[:, 0]).score,
        hit("all", same.all(axis=1)).score,
        Metric(name="until", n=len(until), of=lambda i: float(until[i].mean())).score,
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--plans", required=True, help="with ; between them")
    parser.add_argument("--prompts", type=int, default=50)
    given = parser.parse_args()
    model = load(given.model)
    codec = read_tokenizer(given.model)
    asked = prompts(codec.encode(given.text.read_text(encoding="utf-8")).ids, given.prompts)
    exact = answers(model, LOCAL, asked)
    print(f"{len(asked)} prompts of {PROMPT} characters, {ANSWER} more of each, greedily")
    print("| plan | same first | all the same | the same until |\n|---|---|---|---|")
    for plan in map(Plan.parse, given.plans.split(";")):
        scores = compared(answers(model, plan, asked), exact)
        cells = [f"{s.value:.2f} ({s.low:.2f} to {s.high:.2f})" for s in scores]
        print(f"| `{plan}` | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
