"""Law 8: padding is as if it were not there, wherever it is and whatever it holds."""

from __future__ import annotations

import pytest
import torch
from drawn import EXACT, VISIBLE, embeddings, few, kinds, masks, net, plan_of, shares, some, taps
from hypothesis import given
from hypothesis import strategies as st
from nets import Net, error, padding, rows
from simulator import Segments, plain, simulate
from torch import Tensor

from prism_edge.layout import token_layout
from prism_edge.plan import Plan


def trimmed(one: Net, plan: str, keep: list[bool]) -> Segments:
    """The plan's segments by position, with their pads taken out."""
    layout = token_layout(Plan.parse(plan), one.shape, len(keep))
    sizes, start = [], 0
    for rank in layout.order:
        left = []
        for size in layout.segments(rank):
            left.append(sum(keep[start : start + size]))
            start += size
        sizes.append([size for size in left if size])
    return sizes


def without_pads(one: Net, plan: str, x: Tensor, keep: Tensor, tap: str) -> Tensor:
    """The answer to the real tokens alone.  [1,N,D], [N] -> [1,.,D]"""
    causal = one.shape.causal
    if plan == "local" or plan.startswith("voltage"):
        return plain(one.blocks, x[:, keep], causal=causal)
    sizes = trimmed(one, plan, keep.tolist())
    return simulate(one.blocks, x[:, keep], sizes, causal=causal, tap=tap)


@some
@given(own=shares(tokens=18), kind=kinds, tap=taps, data=st.data())
def test_law_08_a_padded_request_is_the_trimmed_one(
    own: tuple[int, ...], kind: dict[str, bool], tap: str, data: st.DataObject
) -> None:
    tokens = sum(own)
    method = data.draw(st.sampled_from(["prism", "prism", "voltage"]), label="method")
    options = {"l": data.draw(st.integers(1, max(own)), label="l")} if method == "prism" else {}
    real = data.draw(masks(tokens, batch=1), label="real")
    one, x, keep = net(**kind), embeddings(tokens, batch=1), real[0].bool()
    x[0, ~keep] = 50.0  # must not matter
    plan = plan_of(method, own, tap=tap, **options)
    assert error(rows(one, plan, x, real)[:, keep], without_pads(one, plan, x, keep, tap)) < EXACT


@pytest.mark.parametrize("plan", ["local", "voltage:p=2", "prism:p=2,l=3", "prism:p=3,l=2"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("pre_norm", [False, True])
def test_law_08_control_pads_averaged_in(plan: str, causal: bool, pre_norm: bool) -> None:
    one, x = net(causal=causal, pre_norm=pre_norm), embeddings(24, batch=1)
    real = torch.ones(1, 24, dtype=torch.uint8)
    real[:, [0, 1, 6, 10, 11, 12, 17]] = 0
    keep = real[0].bool()
    expected = without_pads(one, plan, x, keep, "after")
    assert error(rows(one, plan, x, real)[:, keep], expected) < EXACT
    assert error(rows(one, plan, x)[:, keep], expected) > VISIBLE


@pytest.mark.parametrize("dtype", ["fp32", "fp16", "int8"])
@few
@given(own=shares(tokens=12), kind=kinds, tap=taps, data=st.data())
def test_law_08_parts_of_padding_only_give_no_nan(
    dtype: str, own: tuple[int, ...], kind: dict[str, bool], tap: str, data: st.DataObject
) -> None:
    """Left padding, no real token at all, one real token: nothing a real row hears is NaN."""
    tokens = sum(own)
    lengths = data.draw(st.lists(st.integers(0, tokens), min_size=3, max_size=3), label="lengths")
    real = padding(lengths, tokens)
    real[1] = real[1].flip(0)
    segments = data.draw(st.integers(1, max(own)), label="l")
    plan = plan_of("prism", own, l=segments, dtype=dtype, tap=tap)
    assert torch.isfinite(rows(net(**kind), plan, embeddings(tokens, batch=3), real)).all()


@few
@given(own=shares(tokens=18), kind=kinds, tap=taps, data=st.data())
def test_law_08_padding_may_hold_anything_finite(
    own: tuple[int, ...], kind: dict[str, bool], tap: str, data: st.DataObject
) -> None:
    tokens = sum(own)
    real = data.draw(masks(tokens), label="real")
    one, x = net(**kind), embeddings(tokens)
    other = torch.where(real.bool()[..., None], x, torch.full_like(x, 50.0))
    for plan in (plan_of("voltage", own, tap=tap), plan_of("prism", own, l=1, tap=tap)):
        before, after = rows(one, plan, x, real), rows(one, plan, other, real)
        assert torch.equal(before[real.bool()], after[real.bool()])
