"""A row decoded from the cache is the row a prefill would have computed, at the cost of one row."""

from __future__ import annotations

import pytest
import torch
from nets import Net, noise
from torch import Tensor

from prism_edge.tensors.attention import attention
from prism_edge.tensors.cache import BlockCache, Cache
from prism_edge.tensors.known import Known

EXACT = 1e-12


def columns(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    return tuple(noise(2, 4, count, 8, seed=seed + part, dtype=torch.float64) for part in (1, 2))  # type: ignore[return-value]


def weights(*rows: list[float]) -> Tensor:
    """The bias of columns that stand for so many tokens.  -> [B,1,1,M]"""
    return torch.tensor(rows, dtype=torch.float64).log()[:, None, None]


COUNTS = [None, weights([3, 1, 2, 1, 1]), weights([3, 1, 2, 1, 1], [0, 0, 1, 1, 1])]


@pytest.mark.parametrize("bias", COUNTS, ids=["plain", "means", "padded"])
def test_added_columns_count_as_one_token_each(bias: Tensor | None) -> None:
    k, v = columns(5)
    cache = BlockCache(k, v, bias, room=3)
    for step in range(1, 4):
        new_k, new_v = columns(1, seed=10 * step)
        cache.append(new_k, new_v)
        k, v = torch.cat([k, new_k], dim=2), torch.cat([v, new_v], dim=2)
        whole = None
        if bias is not None:
            whole = torch.cat([bias, bias.new_zeros(bias.shape[0], 1, 1, step)], dim=3)
        q = columns(1, seed=50 + step)[0]
        expected = attention(q, k, v, whole, causal=False, scale=0.4)
        assert torch.allclose(cache.attend(q, 0.4), expected, atol=EXACT)
        if bias is not None:
            uncounted = attention(q, k, v, None, causal=False, scale=0.4)
            assert not torch.allclose(cache.attend(q, 0.4), uncounted, atol=1e-3)


def test_room_is_taken_once() -> None:
    k, v = columns(5)
    cache = BlockCache(k, v, None, room=2)
    places = cache._k.data_ptr(), cache._v.data_ptr()
    for step in range(2):
        assert (cache.columns, cache.elements) == (5 + step, 2 * 2 * 4 * (5 + step) * 8)
        cache.append(*columns(1))
    assert (cache._k.data_ptr(), cache._v.data_ptr()) == places
    with pytest.raises(IndexError):
        cache.append(*columns(1))


def test_padding_has_no_say_whatever_it_holds() -> None:
    k, v = columns(5)
    q, bias = columns(1, seed=9)[0], weights([0, 0, 1, 1, 1])
    clean = BlockCache(k, v, bias, room=1)
    k, v = k.clone(), v.clone()
    k[:, :, :2], v[:, :, :2] = 7.0, -7.0
    dirty = BlockCache(k, v, bias, room=1)
    visible = BlockCache(k, v, None, room=1)
    assert torch.equal(clean.attend(q, 0.4), dirty.attend(q, 0.4))
    assert not torch.allclose(clean.attend(q, 0.4), visible.attend(q, 0.4), atol=1e-3)


def own_columns(count: Tensor) -> Known:
    """Columns of so many tokens each, one behind the other.  [B,M]"""
    place = torch.arange(count.shape[1])
    return Known(count=count, last=place, position=place, causal=True)


def prefilled(net: Net, x: Tensor, room: int) -> tuple[Tensor, Cache]:
    """All rows of the last block, by hand, and the cache of what they saw.  [B,N,D] -> [B,N,D]"""
    cache = Cache(room)
    for block in net.blocks:
        q, k, v = block.project(block.inputs(x), slice(None))
        cache.keep(k, v, own_columns(torch.ones(1, x.shape[1])))
        x = block.finish(x, block.attend(q, k, v, None, causal=True))
    return x, cache


@pytest.mark.parametrize("pre_norm", [True, False])
def test_a_decoded_row_is_the_prefills(pre_norm: bool) -> None:
    net = Net(causal=True, pre_norm=pre_norm, dtype=torch.float64)
    x = noise(2, 12, 32, dtype=torch.float64)
    expected, _ = prefilled(net, x, 0)
    _, cache = prefilled(net, x[:, :8], room=4)
    for token in range(8, 12):
        row = cache.decode(net.blocks, x[:, token : token + 1])
        assert torch.allclose(row, expected[:, token : token + 1], atol=1e-10)
    _, late = prefilled(net, x[:, :8], room=1)
    skipped = late.decode(net.blocks, x[:, 9:10])  # token 8 was never appended
    assert not torch.allclose(skipped, expected[:, 9:10], atol=1e-3)


@pytest.mark.parametrize("counts", [[[1, 1, 1]], [[4, 1, 1]], [[0, 1, 1], [1, 1, 1]]])
def test_columns_weigh_what_they_stand_for(counts: list[list[float]]) -> None:
    k, v = columns(3)
    cache = Cache(room=1)
    cache.keep(k, v, own_columns(torch.tensor(counts)))
    q = columns(1, seed=9)[0]
    expected = attention(q, k, v, weights(*counts), causal=False, scale=0.4)
    assert torch.allclose(cache.blocks[0].attend(q, 0.4), expected, atol=1e-6)
    other = attention(q, k, v, weights([2, 1, 1]), causal=False, scale=0.4)
    assert not torch.allclose(cache.blocks[0].attend(q, 0.4), other, atol=1e-3)
