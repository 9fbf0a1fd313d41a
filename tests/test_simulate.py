"""One process answers like the ranks, whatever the plan and family, and has gradients.

That the ranks answer like the formula is law 15; here the ranks are the measure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import checkpoints
import pytest
import torch
from nets import Net, error, noise, over_loopback, padding
from torch import Tensor

from prism_edge.errors import PlanError
from prism_edge.families.bert import Bert
from prism_edge.families.gpt2 import Gpt2
from prism_edge.families.model import Model, Tensors
from prism_edge.families.vit import Vit
from prism_edge.plan import Plan
from prism_edge.simulate import simulate
from prism_edge.tensors.codebook import Codebooks

CLOSE = 1e-5
PLANS = (
    "local",
    "split:p=2",
    "voltage:p=3,dtype=fp16",
    "prism:p=2,l=4,dtype=fp16",
    "prism:p=3,l=3,dtype=int8,tap=before",
    "prism:p=2,l=5/0/3/0",
    "prism:p=2,share=2/1,l=4,pieces=2",
    "split+prism:p=2,l=4",
)
KINDS = [
    {"causal": causal, "pre_norm": pre_norm, "lead": lead, "class_token": lead == 1 and not causal}
    for causal, pre_norm, lead in product((False, True), (False, True), (0, 1))
]


class Coded(Net):
    """A net with random codebooks."""

    def codebooks(self, g: int, k: int) -> Codebooks:
        return Codebooks(tables=noise(len(self.blocks), g, k, self.shape.width // g, seed=3))


def plan_of(text: str) -> Plan:
    return Plan.parse(text)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("plan", [*PLANS, "astra:p=2,g=4,k=8"])
def test_a_net_answers_as_its_ranks_do(plan: str, kind: dict[str, bool]) -> None:
    real = padding((37, 20, 30), 37)
    for needs in ("all", "last" if kind["causal"] else "first"):
        net = Coded(needs=needs, **kind)  # type: ignore[arg-type]
        for inputs in ({"x": noise(3, 37, 32)}, {"x": noise(3, 37, 32), "real": real}):
            ranks = over_loopback(net, plan, inputs)[0]["rows"]
            found = simulate(net, plan_of(plan), inputs)["rows"]
            keep = real.bool() if needs == "all" and "real" in inputs else slice(None)
            assert error(found[keep], ranks[keep]) < CLOSE


def images() -> tuple[Model, Tensors]:
    return Vit(checkpoints.in_memory(*checkpoints.vit(), "vit.")), {
        "pixel_values": noise(3, 3, 32, 32)
    }


def texts(
    family: Callable[..., Model], made: tuple[checkpoints.Config, checkpoints.Weights], prefix: str
) -> tuple[Model, Tensors]:
    ids = torch.randint(0, 50, (3, 16), generator=torch.Generator().manual_seed(0))
    mask = padding((16, 9, 12), 16).long()
    return family(checkpoints.in_memory(*made, prefix)), {"input_ids": ids, "attention_mask": mask}


ON_ALL = ("voltage:p=", "prism:l=3,p=", "prism:l=2,dtype=int8,tap=before,p=", "astra:g=4,k=8,p=")


@pytest.mark.parametrize("plan", [*PLANS[:3], *(f"{text}{p}" for text in ON_ALL for p in (2, 4))])
@pytest.mark.parametrize("family", ["vit", "bert", "gpt2"])
def test_every_family_answers_as_its_ranks_do(family: str, plan: str) -> None:
    model, inputs = {
        "vit": images,
        "bert": lambda: texts(Bert, checkpoints.bert(), "bert."),
        "gpt2": lambda: texts(Gpt2, checkpoints.gpt2(), "transformer."),
    }[family]()
    model.codebooks = lambda g, k: Codebooks(tables=noise(2, g, k, 16 // g, seed=3), tap="after")  # type: ignore[method-assign]
    ranks, _ = over_loopback(model, plan, inputs)
    found = simulate(model, plan_of(plan), model.prepare(inputs))
    assert found.keys() == ranks.keys()
    for name, expected in ranks.items():
        keep = slice(None)
        if name in ("last_hidden_state", "logits") and "attention_mask" in inputs:
            keep = inputs["attention_mask"].bool()  # type: ignore[assignment]
        assert error(found[name][keep], expected[keep]) < CLOSE


def gradient(net: Net, plan: str, x: Tensor) -> Tensor:
    """Of the sum of squares of all rows, by the first block's projections."""
    weight = net.blocks[0].qkv.weight.requires_grad_()
    weight.grad = None
    simulate(net, plan_of(plan), {"x": x})["rows"].square().sum().backward()
    assert weight.grad is not None
    return weight.grad.clone()


@pytest.mark.parametrize("plan", ["prism:p=2,l=3", "prism:p=3,l=2,tap=before", "voltage:p=2"])
def test_gradients_are_those_of_the_answer(plan: str) -> None:
    net, x = Net(dtype=torch.float64, blocks=3), noise(2, 13, 32, dtype=torch.float64)
    found = gradient(net, plan, x)
    direction, step = noise(*found.shape, seed=5, dtype=torch.float64), 1e-6
    weight = net.blocks[0].qkv.weight.detach()
    ends = []
    for sign in (1, -1):
        qkv = replace(net.blocks[0].qkv, weight=weight + sign * step * direction)
        moved = Net(dtype=torch.float64, blocks=3)
        moved.blocks = [replace(moved.blocks[0], qkv=qkv), *moved.blocks[1:]]
        ends.append(float(simulate(moved, plan_of(plan), {"x": x})["rows"].square().sum()))
    # the wire's fp32 rounds what travels: the slope is not seen finer than that
    assert float((found * direction).sum()) == pytest.approx(
        (ends[0] - ends[1]) / (2 * step), rel=0.02
    )


def test_the_gradient_passes_through_what_the_wire_rounds() -> None:
    net, x = Coded(), noise(2, 37, 32)
    exact = gradient(net, "prism:p=2,l=4", x)
    assert error(gradient(net, "prism:p=2,l=4,dtype=fp16", x), exact) < 0.05
    assert error(gradient(net, "prism:p=2,l=4,dtype=int8", x), exact) < 0.5
    assert gradient(net, "astra:p=2,g=4,k=8", x).abs().sum() > 0


def test_a_lost_message_is_as_if_its_tokens_were_not_there() -> None:
    net, x = Net(), noise(2, 36, 32)
    alone = simulate(net, plan_of("local"), {"x": x[:, :18]})["rows"]
    found = simulate(net, plan_of("prism:p=2,l=4"), {"x": x}, lost=lambda *_: True)["rows"]
    assert error(found[:, :18], alone) < CLOSE
    kept = simulate(net, plan_of("prism:p=2,l=4"), {"x": x}, lost=lambda *_: False)["rows"]
    assert error(kept[:, :18], alone) > 0.1  # negative control: what was heard did matter


def test_what_does_not_fit_is_refused() -> None:
    net = Net()
    with pytest.raises(PlanError, match="at most l=6"):
        simulate(net, plan_of("prism:p=2,l=9"), {"x": noise(1, 12, 32)})
