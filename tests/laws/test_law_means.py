"""Laws 4 and 6: what a mean keeps, and what it commutes with."""

from __future__ import annotations

from collections.abc import Sequence

import checkpoints
import pytest
import torch
from drawn import EXACT, VISIBLE, few, kinds, net, plan_of, shares, taps
from hypothesis import given
from hypothesis import strategies as st
from nets import error, noise, rows
from simulator import plain
from torch import Tensor
from torch.nn.functional import layer_norm, linear

from prism_edge.families.vit import Vit
from prism_edge.layout import token_layout
from prism_edge.plan import Plan
from prism_edge.tensors.segments import segment_means


def constant(plan: str, causal: bool, tokens: int) -> tuple[Tensor, Sequence[int]]:
    """Embeddings that are equal inside every segment, and the segments.  -> [2,N,32]"""
    layout = token_layout(Plan.parse(plan), net(causal=causal).shape, tokens)
    sizes = [size for rank in layout.order for size in layout.segments(rank)] or [tokens]
    return noise(2, len(sizes), 32).repeat_interleave(torch.tensor(sizes), dim=1), sizes


@few
@given(own=shares(), kind=kinds, tap=taps, data=st.data())
def test_law_04_constant_segments_are_exact_at_any_rate(
    own: tuple[int, ...], kind: dict[str, bool], tap: str, data: st.DataObject
) -> None:
    """Behind a causal mask for one block: then equal tokens see different things."""
    plan = plan_of("prism", own, l=data.draw(st.integers(1, max(own)), label="l"), tap=tap)
    one = net(blocks=1 if kind["causal"] else 4, **kind)
    x, _ = constant(plan, kind["causal"], sum(own))
    assert error(rows(one, plan, x), plain(one.blocks, x, causal=kind["causal"])) < EXACT


@pytest.mark.parametrize("plan", ["prism:p=2,l=3", "prism:p=3,l=2,tap=before"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("pre_norm", [False, True])
def test_law_04_control_one_token_of_a_segment_differs(
    plan: str, causal: bool, pre_norm: bool
) -> None:
    one = net(blocks=1 if causal else 4, causal=causal, pre_norm=pre_norm)
    x, _ = constant(plan, causal, 24)
    x[:, 1] += noise(2, 32, seed=2)
    assert error(rows(one, plan, x), plain(one.blocks, x, causal=causal)) > VISIBLE


# law 6


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@few
@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_law_06_means_commute_with_a_linear_map(dtype: torch.dtype, sizes: list[int]) -> None:
    x = noise(2, sum(sizes), 16, dtype=dtype)
    weight, bias = noise(8, 16, seed=2, dtype=dtype), noise(8, seed=3, dtype=dtype)
    after = linear(segment_means(x, sizes, None), weight, bias)
    before = segment_means(linear(x, weight, bias), sizes, None)
    assert error(after, before) < (EXACT if dtype == torch.float32 else 2e-2)


def vit() -> Vit:
    return Vit(checkpoints.in_memory(*checkpoints.vit("ViTModel"), "vit."))


def test_law_06_means_commute_with_the_patch_embedding() -> None:
    """The mean of embeddings is the embedding of mean patches plus the mean of the positions."""
    model, sizes = vit(), [1, 4, 7, 4]
    assert sum(sizes) == model.shape.tokens - 1
    channels, side = model.inputs[0].shape[1:3]
    pixels = noise(2, channels, side, side)
    prepared = model.prepare({"pixel_values": pixels})
    whole = model.embed(prepared, 0, model.shape.tokens)[:, 1:]
    blank = {"patches": torch.zeros_like(prepared["patches"])}
    positions = model.embed(blank, 0, model.shape.tokens)[:, 1:]  # and the projection's bias
    mean = segment_means(prepared["patches"], sizes, None)
    spread = torch.cat([mean, torch.zeros_like(prepared["patches"][:, len(sizes) :])], dim=1)
    projected = model.embed({"patches": spread}, 0, model.shape.tokens)[:, 1:] - positions
    found = projected[:, : len(sizes)] + segment_means(positions, sizes, None)
    assert error(found, segment_means(whole, sizes, None)) < EXACT
    unplaced = projected[:, : len(sizes)] + positions[:, : len(sizes)]
    assert error(unplaced, segment_means(whole, sizes, None)) > VISIBLE


@pytest.mark.parametrize("sizes", [[12], [1, 4, 7], [6, 6]])
def test_law_06_control_a_norm_is_not_linear(sizes: list[int]) -> None:
    x = noise(2, 12, 16)
    after = layer_norm(segment_means(x, sizes, None), (16,))
    before = segment_means(layer_norm(x, (16,)), sizes, None)
    assert float((after - before).norm() / before.norm()) > 0.5
