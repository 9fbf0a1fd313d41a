"""Laws 1, 13, 14 and 15 over groups of two, three and four real processes.

An answer must be that of the simulator, and bit for bit that of loopback, bytes sent included.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from drawn import CLOSE, EXACT, VISIBLE, LawNet, Named, embeddings, plan_of
from formula import formula
from nets import error, over_loopback, padding
from simulator import Nearest, plain
from torch import Tensor

from prism_edge.plan import Plan
from prism_edge.request import lead
from prism_edge.spans import Recorder
from prism_edge.transport.gloo import Gloo

pytestmark = pytest.mark.gloo

NETS = Named()
OWN = {2: (1, 36), 3: (5, 20, 12), 4: (10, 9, 9, 9)}  # 37 tokens
KINDS = [{"causal": causal, "pre_norm": pre} for causal in (False, True) for pre in (False, True)]

kinds = pytest.mark.parametrize("kind", KINDS, ids=str)


def ask(gloo: Gloo, name: str, plan: str, x: Tensor, real: Tensor | None = None) -> Tensor:
    """The answer of the processes, which is loopback's, bit for bit and byte for byte."""
    inputs = {"x": x} if real is None else {"x": x, "real": real}
    before = gloo.sent_bytes
    found = lead(NETS[name], name, Plan.parse(plan), inputs, gloo, Recorder())["rows"]
    expected, group = over_loopback(NETS[name], plan, inputs)
    assert torch.equal(found, expected["rows"]), plan
    assert gloo.sent_bytes - before == group[0].sent_bytes, plan
    return found


def plans(size: int) -> list[tuple[str, str]]:
    """Plans of every method over ``size`` ranks, and how their values travel."""
    own = OWN[size]
    most = max(own)
    return [
        (plan_of("prism", own, l=3), "fp32"),
        (plan_of("prism", own, l="4/0/2/1", dtype="fp16", tap="before"), "fp16"),
        (plan_of("prism", own, l=2, dtype="int8"), "int8"),
        (f"prism:p={size},l=5,dtype=int8,tap=before,pieces=2", "int8"),
        (plan_of("voltage", own, tap="before"), "fp32"),
        (plan_of("voltage", own, dtype="fp16", pieces=3), "fp16"),
        (plan_of("split", own), "fp32"),
        (plan_of("split+prism", own, l=most, dtype="fp16"), "fp16"),
        (f"split+prism:p={size},l=4/0/0/2", "fp32"),
    ]


@kinds
def test_law_15_every_method_over_gloo(gloo: Gloo, kind: dict[str, bool]) -> None:
    one, name = named(kind, lead=1, trail=1)
    for batch in (1, 3):
        x = embeddings(37, batch=batch)
        real = padding([37, 20, 37][:batch], 37)
        real[-1, [2, 7, 30]] = 0
        keep = real.bool()
        for plan, dtype in plans(gloo.size):
            found = ask(gloo, name, plan, x, real)[keep]
            assert error(found, formula(one, plan, x, real)[keep]) < CLOSE[dtype], plan


@pytest.mark.parametrize("tap", ["after", "before"])
@pytest.mark.parametrize("causal", [False, True])
def test_law_15_codes_over_gloo(gloo: Gloo, tap: str, causal: bool) -> None:
    own = OWN[gloo.size]
    for class_token in (False, True):
        one, name = named({"causal": causal}, class_token=class_token, tap=tap)
        real = padding([37 + class_token, 20], 37 + class_token)
        for g, k in ((4, 8), (8, 5), (1, 16)):
            plan = plan_of("astra", own, g=g, k=k, tap=tap, pieces=g % 3)
            x, expected = untied(one, plan, real, one.tables(g, k))
            found = ask(gloo, name, plan, x, real)[real.bool()]
            assert error(found, expected) < EXACT, plan


def untied(one: LawNet, plan: str, real: Tensor, tables: Tensor) -> tuple[Tensor, Tensor]:
    """Embeddings none of whose codes is a toss-up, and the rows of their real tokens."""
    for seed in range(1, 20):
        x, wire = embeddings(real.shape[1], seed=seed), Nearest(tables)
        expected = formula(one, plan, x, real, wire=wire)
        if wire.margin > 1e-4:
            return x, expected[real.bool()]
    raise AssertionError("every request has a toss-up")


@kinds
def test_law_01_full_exchange_over_gloo(gloo: Gloo, kind: dict[str, bool]) -> None:
    one, name = named(kind)
    x, own = embeddings(37), OWN[gloo.size]
    expected = plain(one.blocks, x, causal=kind["causal"])
    for tap in ("after", "before"):
        for plan in (plan_of("voltage", own, tap=tap), plan_of("prism", own, l=max(own), tap=tap)):
            assert error(ask(gloo, name, plan, x), expected) < EXACT, plan


def test_law_15_control_over_gloo(gloo: Gloo) -> None:
    """Half as many segments, and a mistake of the formula's."""
    one, name = named({"causal": False})
    x, own = embeddings(37), OWN[gloo.size]
    plan = plan_of("prism", own, l=4)
    found = ask(gloo, name, plan, x)
    assert error(found, formula(one, plan_of("prism", own, l=2), x)) > VISIBLE
    assert error(found, formula(one, plan, x, own_means_visible=True)) > VISIBLE


@pytest.mark.parametrize("needs", ["first", "last"])
@pytest.mark.parametrize("causal", [False, True])
def test_law_10_one_row_over_gloo(gloo: Gloo, needs: str, causal: bool) -> None:
    one, name = named({"causal": causal}, needs=needs, class_token=True)
    x, own = embeddings(38), OWN[gloo.size]
    row = {"first": 0, "last": -1}[needs]
    for plan in (plan_of("prism", own, l=3, dtype="fp16"), plan_of("astra", own, g=4, k=8)):
        books = one.tables(4, 8) if "astra" in plan else None
        expected = formula(one, plan, x, None, books)[:, row]
        assert error(ask(gloo, name, plan, x)[:, 0], expected) < CLOSE["fp16"], plan


def named(kind: dict[str, bool], **options: Any) -> tuple[LawNet, str]:
    """A net, and the name by which the other processes build the same."""
    name = json.dumps({**kind, **options})
    return NETS[name], name
