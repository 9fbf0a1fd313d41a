"""Rows that travel: what arrives is what was meant, to the precision that was asked for."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import noise, padding
from torch import Tensor

from prism_edge.exchange.rows import FLOATS, Rows, all_tokens, pack_int8, unpack_int8
from prism_edge.plan import WireDtype
from prism_edge.tensors.segments import segment_means

ONES, RUNS = (1,) * 7, (1, 3, 3)
DTYPES: tuple[WireDtype, ...] = ("fp32", "fp16", "int8")


def arrives(rows: Rows, h: Tensor, sizes: tuple[int, ...], real: Tensor | None = None) -> Tensor:
    return rows.decode(rows.encode(h, sizes, real, 0), len(sizes), 0, h)


def test_full_exchange_announces_the_tokens_padding_included() -> None:
    h = noise(2, 5, 4)
    assert all_tokens(h, (1,) * 5, padding([5, 2], 5)) is h
    assert torch.equal(arrives(Rows("fp32", means=False), h, (1,) * 5, padding([5, 2], 5)), h)
    with pytest.raises(AssertionError):
        all_tokens(h, (2, 3), None)


def test_prism_announces_means_of_what_is_real() -> None:
    h, real = noise(2, 7, 4), padding([7, 4], 7)
    found = arrives(Rows("fp32", means=True), h, RUNS, real)
    assert torch.equal(found, segment_means(h, RUNS, real))
    assert torch.allclose(found[0, 1], h[0, 1:4].mean(dim=0))
    assert torch.equal(found[1, 2], torch.zeros(4))
    without = arrives(Rows("fp32", means=True), h, RUNS)
    assert not torch.allclose(found, without, atol=1e-2)


@pytest.mark.parametrize("means", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_message_has_the_bytes_of_the_layout(dtype: WireDtype, means: bool) -> None:
    rows, h, sizes = Rows(dtype, means=means), noise(2, 7, 12), RUNS if means else ONES
    sent = rows.encode(h, sizes, None, 0)
    each = {"fp32": 4 * 12, "fp16": 2 * 12, "int8": 12 + 4}[dtype]
    assert (sent.dtype, sent.shape) == (torch.uint8, (2 * len(sizes) * each,))
    flipped = sent.clone()
    flipped[-1] ^= 1
    found = [rows.decode(data, len(sizes), 0, h) for data in (sent, flipped)]
    assert found[0].shape == (2, len(sizes), 12)
    assert not torch.equal(found[0], found[1])


@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
def test_floats_arrive_as_they_travel(dtype: WireDtype) -> None:
    h = noise(2, 7, 4)
    means = segment_means(h, RUNS, None)
    assert torch.equal(arrives(Rows(dtype, means=True), h, RUNS), means.to(FLOATS[dtype]).float())


def test_half_precision_is_off_by_at_most_half_a_step() -> None:
    h = noise(8, 40, 32)
    exact = segment_means(h, (1, 20, 19), None)
    found = arrives(Rows("fp16", means=True), h, (1, 20, 19))
    assert float(((found - exact).abs() / exact.abs().clamp(min=2**-14)).max()) <= 2**-11
    assert not torch.equal(found, exact)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("computed", [torch.float16, torch.bfloat16])
def test_models_in_half_precision_hear_in_half_precision(
    dtype: WireDtype, computed: torch.dtype
) -> None:
    h = noise(1, 6, 4).to(computed)
    found = arrives(Rows(dtype, means=True), h, (2, 2, 2))
    assert found.dtype == computed
    assert torch.allclose(found, segment_means(h, (2, 2, 2), None), atol=2e-2)


# int8, one scale a row

magnitudes = st.floats(2.0**-90, 2.0**90, width=32)
numbers = st.just(0.0) | magnitudes | magnitudes.map(lambda size: -size)
tensors = st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 9)).flatmap(
    lambda shape: st.lists(
        numbers, min_size=shape[0] * shape[1] * shape[2], max_size=shape[0] * shape[1] * shape[2]
    ).map(lambda values: torch.tensor(values, dtype=torch.float32).view(shape))
)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(tensors)
def test_int8_is_off_by_at_most_half_a_step(rows: Tensor) -> None:
    batch, count, width = rows.shape
    packed = pack_int8(rows)
    assert packed.shape == (batch * count * (4 + width),)
    found = unpack_int8(packed, (batch, count, width)).double()
    step = rows.double().abs().amax(dim=-1, keepdim=True) / 127
    assert (((found - rows.double()).abs()) <= step * (0.5 + 1e-4)).all()


def test_a_scale_for_all_rows_would_be_off_by_more() -> None:
    """The control: rows of very different size need a scale each."""
    rows = noise(1, 2, 16)
    rows[0, 1] *= 1e-3
    step = rows.abs().amax(dim=-1, keepdim=True) / 127
    own = unpack_int8(pack_int8(rows), (1, 2, 16))
    one = unpack_int8(pack_int8(rows.view(1, 1, 32)), (1, 1, 32)).view(1, 2, 16)
    assert ((own - rows).abs() <= step * 0.5001).all()
    assert not ((one - rows).abs() <= step * 0.5001).all()


def test_the_largest_value_of_a_row_arrives_and_nothing_stays_nothing() -> None:
    rows = torch.tensor([[[0.5, -3.0, 1.0], [0.0, 0.0, 0.0]]])
    found = unpack_int8(pack_int8(rows), (1, 2, 3))
    assert torch.allclose(found[0, 0, 1], torch.tensor(-3.0))
    assert torch.equal(found[0, 1], torch.zeros(3))


def test_a_message_may_begin_at_any_byte() -> None:
    rows = noise(2, 3, 5)
    packed = pack_int8(rows)
    for shift in range(1, 5):
        moved = torch.zeros(packed.numel() + shift, dtype=torch.uint8)
        moved[shift:] = packed
        found = unpack_int8(moved[shift:], (2, 3, 5))
        assert torch.equal(found, unpack_int8(packed, (2, 3, 5)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_padding_only_segments_travel_as_zeros(dtype: WireDtype) -> None:
    h, real = noise(1, 6, 4), padding([2], 6)
    found = arrives(Rows(dtype, means=True), h, (2, 2, 2), real)
    assert torch.equal(found[0, 1:], torch.zeros(2, 4))
    assert float(found[0, 0].abs().max()) > 0
