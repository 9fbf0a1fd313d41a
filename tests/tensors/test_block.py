"""A block's steps: together they are the block, apart they can be joined late."""

from __future__ import annotations

import pytest
import torch
from nets import Net, error, noise
from simulator import plain

from prism_edge.tensors.block import Affine, Block, Norm

ALL = slice(None)


def block(pre_norm: bool = True) -> Block:
    return Net(pre_norm=pre_norm, blocks=1).blocks[0]


@pytest.mark.parametrize("pre_norm", [True, False])
def test_its_steps_together_are_the_block(pre_norm: bool) -> None:
    one, x = block(pre_norm), noise(2, 9, 32)
    q, k, v = one.project(one.inputs(x), ALL)
    found = one.finish(x, one.attend(q, k, v, None, causal=False))
    assert error(found, plain([one], x)) < 1e-5
    assert error(found, plain([block(not pre_norm)], x)) > 1e-2


@pytest.mark.parametrize("pre_norm", [True, False])
def test_a_causal_block_is_the_causal_one(pre_norm: bool) -> None:
    one, x = block(pre_norm), noise(2, 9, 32)
    q, k, v = one.project(one.inputs(x), ALL)
    found = one.finish(x, one.attend(q, k, v, None, causal=True))
    assert error(found, plain([one], x, causal=True)) < 1e-5
    assert error(found, plain([one], x)) > 1e-2


@pytest.mark.parametrize("pre_norm", [True, False])
@pytest.mark.parametrize("rows", [slice(0, 1), slice(-1, None), slice(2, 5)])
def test_some_rows_are_those_rows(pre_norm: bool, rows: slice) -> None:
    one, x = block(pre_norm), noise(2, 9, 32)
    q, k, v = one.project(one.inputs(x), rows)
    found = one.finish(x[:, rows], one.attend(q, k, v, None, causal=False))
    everything = plain([one], x)
    assert error(found, everything[:, rows]) < 1e-5
    assert error(found, everything[:, 1 : 1 + found.shape[1]]) > 1e-2


@pytest.mark.parametrize("pre_norm", [True, False])
def test_heard_columns_may_be_joined_after_the_own_are_projected(pre_norm: bool) -> None:
    one, x = block(pre_norm), noise(2, 9, 32)
    h = one.inputs(x)
    q, k, v = one.project(h[:, 4:], ALL)
    joined = one.prepend(h[:, :4], k, v)
    attended = one.attend(q, *joined, None, causal=False)
    assert error(one.finish(x[:, 4:], attended), plain([one], x)[:, 4:]) < 1e-5
    alone = one.finish(x[:, 4:], one.attend(q, k, v, None, causal=False))
    assert error(alone, plain([one], x)[:, 4:]) > 1e-2


def test_heard_columns_come_first_and_are_projected_as_own_ones() -> None:
    one, h = block(), noise(2, 9, 32)
    q, k, v = one.project(h, ALL)
    own_k, own_v = one.project(h[:, 4:], ALL)[1:]
    joined_k, joined_v = one.prepend(h[:, :4], own_k, own_v)
    assert torch.allclose(joined_k, k, atol=1e-6)
    assert torch.allclose(joined_v, v, atol=1e-6)
    assert not torch.allclose(joined_k, q, atol=1e-2)
    assert k.shape == (2, 4, 9, 8)
    swapped_k, _ = one.prepend(h[:, 5:], *(part[:, :, :5] for part in (k, v)))
    assert not torch.allclose(swapped_k, k, atol=1e-2)


def test_affine_layers_stack_and_split() -> None:
    parts = [
        Affine(noise(3, 5, seed=1), noise(3, seed=2)),
        Affine(noise(2, 5, seed=3), None),
        Affine(noise(4, 5, seed=4), noise(4, seed=5)),
    ]
    x, stacked = noise(6, 5), Affine.stack(parts)
    assert torch.allclose(stacked(x), torch.cat([part(x) for part in parts], dim=1), atol=1e-6)
    middle = stacked.rows(3, 5)
    assert torch.allclose(middle(x), parts[1](x), atol=1e-6)
    assert middle.weight.data_ptr() == stacked.weight[3:].data_ptr()  # a view, not a copy
    assert Affine.stack([parts[1], parts[1]]).bias is None
    assert Affine.stack([parts[1], parts[1]]).rows(0, 1).bias is None


def test_a_norm_is_over_the_last_dimension() -> None:
    weight, bias = noise(4, seed=1), noise(4, seed=2)
    x = noise(2, 3, 4) * 5 + 2
    centred = x - x.mean(dim=-1, keepdim=True)
    expected = centred / (centred.pow(2).mean(dim=-1, keepdim=True) + 0.1).sqrt() * weight + bias
    assert torch.allclose(Norm(weight, bias, 0.1)(x), expected, atol=1e-5)
    assert not torch.allclose(Norm(weight, bias, 0.0)(x), expected, atol=1e-3)
