"""Laws 3, 7 and 9: attention over columns that stand for several tokens each.

Here also in the dtypes a model may compute in. Letters: B batch, H heads, n own tokens, R heard
columns, M = R + n, F head width.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from drawn import few
from hypothesis import given
from hypothesis import strategies as st
from nets import noise
from torch import Tensor

from prism_edge.tensors.attention import as_mask, attention
from prism_edge.tensors.known import Known

SCALE = 8**-0.5
OWN = 3
CLOSE = {torch.float64: 1e-10, torch.float32: 1e-5, torch.float16: 2e-2, torch.bfloat16: 1e-1}
VISIBLE = 1e-2

dtypes = pytest.mark.parametrize("dtype", CLOSE, ids=str)
counts_of = st.lists(st.integers(0, 7), min_size=1, max_size=5)  # 0: padding only


def columns_of(counts: list[int], causal: bool) -> Known:
    """Heard columns of these counts, before three own tokens."""
    slots = torch.tensor(counts).clamp(min=1)
    first = int(slots.sum())
    return Known(
        count=torch.tensor([[*counts, *(1,) * OWN]]).double(),
        last=torch.cat([slots.cumsum(0) - 1, torch.arange(first, first + OWN)]),
        position=torch.arange(first, first + OWN),
        causal=causal,
    )


def drawn_qkv(columns: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Sharp queries, keys and values as this dtype holds them."""
    q = noise(2, 4, OWN, 8, seed=1, dtype=torch.float64) * 2
    k, v = (noise(2, 4, columns, 8, seed=seed, dtype=torch.float64) * 2 for seed in (2, 3))
    return q.to(dtype), k.to(dtype), v.to(dtype)


def repeated(q: Tensor, k: Tensor, v: Tensor, counts: list[int], causal: bool) -> Tensor:
    """Plain softmax in fp64 over every column as often as it counts.  -> [B,n,H*F]"""
    times = torch.tensor([*counts, *(1,) * OWN])
    q, k, v = q.double(), *(part.double().repeat_interleave(times, dim=2) for part in (k, v))
    seen = torch.ones(OWN, k.shape[2], dtype=torch.bool)
    seen = seen.tril(diagonal=k.shape[2] - OWN) if causal else seen
    score = (q @ k.transpose(2, 3) * SCALE).masked_fill(~seen, -torch.inf)
    return (score.softmax(dim=-1) @ v).transpose(1, 2).flatten(2)


def counted(q: Tensor, k: Tensor, v: Tensor, columns: Known) -> Tensor:
    """Attention as a block calls it."""
    bias = columns.bias()
    mask = None if bias is None else as_mask(bias, q)
    return attention(q, k, v, mask, causal=False, scale=SCALE)


def gap(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected.double()).abs().max())


@dtypes
@few
@given(counts=counts_of, causal=st.booleans())
def test_law_03_a_column_counted_c_times_is_c_columns(
    dtype: torch.dtype, counts: list[int], causal: bool
) -> None:
    q, k, v = drawn_qkv(len(counts) + OWN, dtype)
    found = counted(q, k, v, columns_of(counts, causal))
    assert found.dtype == dtype
    assert gap(found, repeated(q, k, v, counts, causal)) < CLOSE[dtype]


@pytest.mark.parametrize("causal", [False, True])
def test_law_03_control_no_count_and_uniform_counts(causal: bool) -> None:
    counts = [1, 4, 2]
    q, k, v = drawn_qkv(len(counts) + OWN, torch.float64)
    right, expected = columns_of(counts, causal), repeated(q, k, v, counts, causal)
    none = torch.ones_like(right.count)
    uniform = none.clone()
    uniform[:, : len(counts)] = sum(counts) / len(counts)
    assert gap(counted(q, k, v, right), expected) < CLOSE[torch.float64]
    for count in (none, uniform):
        assert gap(counted(q, k, v, replace(right, count=count)), expected) > VISIBLE


# law 7


@dtypes
@few
@given(counts=counts_of, causal=st.booleans(), data=st.data())
def test_law_07_heard_columns_may_come_in_any_order(
    dtype: torch.dtype, counts: list[int], causal: bool, data: st.DataObject
) -> None:
    order = data.draw(st.permutations(range(len(counts))), label="order")
    order += [len(counts) + i for i in range(OWN)]
    columns = columns_of(counts, causal)
    q, k, v = drawn_qkv(len(order), dtype)
    moved = replace(columns, count=columns.count[:, order], last=columns.last[order])
    found = counted(q, k[:, :, order], v[:, :, order], moved)
    assert gap(found, counted(q, k, v, columns)) < CLOSE[dtype]


@pytest.mark.parametrize("causal", [False, True])
def test_law_07_control_without_their_counts(causal: bool) -> None:
    columns = columns_of([1, 4, 2, 6], causal)
    q, k, v = drawn_qkv(7, torch.float64)
    order = [2, 0, 3, 1, 4, 5, 6]
    stayed = counted(q, k[:, :, order], v[:, :, order], columns)
    assert gap(stayed, counted(q, k, v, columns)) > VISIBLE


def test_law_07_control_without_the_positions_they_cover() -> None:
    """Own columns that come first hide what they should show: the order of ``last`` matters."""
    columns = columns_of([3, 3], causal=True)
    q, k, v = drawn_qkv(5, torch.float64)
    order = [4, 1, 2, 3, 0]  # the last own token where a mean was
    stayed = replace(columns, count=columns.count[:, order])
    found = counted(q, k[:, :, order], v[:, :, order], stayed)
    assert gap(found, counted(q, k, v, columns)) > VISIBLE


# law 9: the package joins late, in one softmax, so it merges nothing; the identity says that
# attending to own and heard columns in two calls of its attention would be the same


def log_sum(q: Tensor, k: Tensor, bias: Tensor | None) -> Tensor:
    """log of the sum of exp of a row's scores.  -> [B,n,H]"""
    score = q @ k.transpose(2, 3) * SCALE
    score = score if bias is None else score + bias
    return score.logsumexp(dim=-1).transpose(1, 2)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@few
@given(counts=counts_of, causal=st.booleans())
def test_law_09_own_and_heard_parts_merge(
    dtype: torch.dtype, counts: list[int], causal: bool
) -> None:
    parts, whole = both_parts(counts, causal, dtype)
    (heard, lse_heard), (own, lse_own) = parts
    merged = (lse_heard - lse_own).sigmoid() * heard + (lse_own - lse_heard).sigmoid() * own
    assert gap(merged, whole) < CLOSE[dtype]


@pytest.mark.parametrize("causal", [False, True])
def test_law_09_control_plain_average_of_the_parts(causal: bool) -> None:
    ((heard, _), (own, _)), whole = both_parts([1, 4, 2], causal, torch.float64)
    assert gap((heard + own) / 2, whole) > VISIBLE


def both_parts(
    counts: list[int], causal: bool, dtype: torch.dtype
) -> tuple[tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]], Tensor]:
    """(outputs, log sums) of the heard and of the own columns alone, and of all together."""
    columns, rows = columns_of(counts, causal), len(counts)
    q, k, v = drawn_qkv(rows + OWN, dtype)
    bias = columns.bias()
    mask = None if bias is None else as_mask(bias, q)
    parts = []
    for part in (slice(0, rows), slice(rows, None)):
        own = None if mask is None else mask[..., part]
        out = attention(q, k[:, :, part], v[:, :, part], own, causal=False, scale=SCALE)
        lse = log_sum(q, k[:, :, part], own)  # [B,n,H]
        parts.append((out, lse.repeat_interleave(out.shape[-1] // lse.shape[-1], dim=-1)))
    return (parts[0], parts[1]), counted(q, k, v, columns)
