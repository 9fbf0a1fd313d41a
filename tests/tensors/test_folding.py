"""A log count folded into queries and keys equals the bias; kept here as the way out for a kernel
that takes no bias. On CPUs it is slower than the bias (tensors/attention.py says by how much).

Letters: B batch, H heads, n query rows, M columns, F head width.
"""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from nets import noise
from torch import Tensor
from torch.nn.functional import pad

from prism_edge.tensors.attention import attention

MULTIPLE = 8  # of which fused kernels want the head width to be: F = 64 becomes 72
HIDDEN = -1e4  # finite also in fp16, where -inf * 0 would be NaN


def folded(q: Tensor, k: Tensor, v: Tensor, count: Tensor, scale: float) -> Tensor:
    """Attention over columns counted ``count`` [B or 1, M], without a bias.  -> [B,n,H*F]"""
    batch, heads, columns, width = k.shape
    room = -(width + 1) % MULTIPLE
    log = count.log().clamp(min=HIDDEN).to(k.dtype)[:, None, :, None]
    q = pad(torch.cat([q, torch.full_like(q[..., :1], 1 / scale)], dim=-1), (0, room))
    k = pad(torch.cat([k, log.expand(batch, heads, columns, 1)], dim=-1), (0, room))
    out = attention(q, k, pad(v, (0, 1 + room)), None, causal=False, scale=scale)
    return out.unflatten(-1, (heads, -1))[..., :width].flatten(2)


def error(dtype: torch.dtype, seed: int, heads: int, width: int, counts: list[int]) -> list[float]:
    """Largest difference to the bias form: with the counts, and with every count 1."""
    columns, scale = len(counts), width**-0.5
    q, k, v = (noise(2, heads, n, width, seed=seed + n).to(dtype) for n in (5, columns, columns))
    count = torch.tensor([counts], dtype=torch.float64)
    bias = count.log()[:, None, None].to(dtype)
    expected = attention(q, k, v, bias, causal=False, scale=scale)
    return [
        float((folded(q, k, v, given, scale) - expected).abs().max())
        for given in (count, torch.ones_like(count))
    ]


@given(
    seed=st.integers(0, 1000),
    heads=st.integers(1, 3),
    width=st.sampled_from([4, 7, 8, 16]),
    counts=st.lists(st.integers(0, 40), min_size=2, max_size=12).filter(
        lambda counts: max(counts) > 1 and len(set(counts)) > 1
    ),
)
def test_folding_equals_the_bias(seed: int, heads: int, width: int, counts: list[int]) -> None:
    exact, uncounted = error(torch.float64, seed, heads, width, counts)
    assert exact <= 1e-10
    assert uncounted > 1e-10  # the control: the counts are what makes them equal
    assert error(torch.float32, seed, heads, width, counts)[0] <= 1e-5


def test_the_counts_matter_much() -> None:
    assert error(torch.float32, 0, 2, 8, [1, 30, 1, 1, 2])[1] > 1e-1
