"""Means of runs: sums in fp32, padding left out, any sizes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import noise

from prism_edge.tensors.segments import segment_counts, segment_means

sizes_lists = st.lists(st.integers(1, 7), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(sizes=sizes_lists, data=st.data())
def test_means_and_counts_are_those_of_the_real_tokens(
    sizes: list[int], data: st.DataObject
) -> None:
    tokens = sum(sizes)
    mask = data.draw(st.lists(st.integers(0, 1), min_size=2 * tokens, max_size=2 * tokens))
    real = torch.tensor(mask, dtype=torch.uint8).view(2, tokens)
    x = noise(2, tokens, 3)
    means, counts = segment_means(x, sizes, real), segment_counts(sizes, real)
    assert means.shape == (2, len(sizes), 3)
    assert counts.shape == (2, len(sizes))
    start = 0
    for s, size in enumerate(sizes):
        for row in range(2):
            kept = [x[row, i] for i in range(start, start + size) if real[row, i]]
            expected = sum(kept) / len(kept) if kept else torch.zeros(3)
            assert torch.allclose(means[row, s], expected, atol=1e-6)
            assert counts[row, s] == len(kept)
        start += size


@settings(max_examples=40, deadline=None, derandomize=True)
@given(sizes=sizes_lists)
def test_no_padding_is_a_mask_of_ones(sizes: list[int]) -> None:
    x = noise(3, sum(sizes), 4)
    ones = torch.ones(3, sum(sizes), dtype=torch.uint8)
    assert torch.allclose(segment_means(x, sizes, None), segment_means(x, sizes, ones), atol=1e-6)
    assert torch.equal(segment_counts(sizes, None).expand(3, -1), segment_counts(sizes, ones))


def test_runs_of_one_token_are_the_tokens_bit_for_bit() -> None:
    x = noise(2, 9, 4)
    real = torch.ones(2, 9, dtype=torch.uint8)
    assert torch.equal(segment_means(x, [1] * 9, None), x)
    assert torch.equal(segment_means(x, [1] * 9, real), x)
    assert not torch.equal(segment_means(x, [1] * 7 + [2], None)[:, 7], x[:, 7])


def test_padding_may_hold_anything() -> None:
    x, real = noise(1, 6, 4), torch.tensor([[1, 1, 0, 1, 0, 0]])
    dirty = x.clone()
    dirty[0, 2], dirty[0, 4], dirty[0, 5] = float("nan"), float("inf"), 1e30
    found = segment_means(dirty, [3, 1, 2], real)
    assert torch.equal(found, segment_means(x, [3, 1, 2], real))
    assert torch.equal(found[0, 2], torch.zeros(4))  # padding only: finite, and its count hides it
    averaged = segment_means(x, [3, 1, 2], None)
    assert float((averaged - found).abs().max()) > 0.1


def test_sums_are_taken_in_fp32() -> None:
    """128 rows of fp16: accumulated in fp16 the mean is several times further off."""
    x = (noise(1, 128, 64) + 3).half()
    exact = x.double().mean(dim=1)
    found = segment_means(x, [128], None)
    assert found.dtype == torch.float16
    assert (
        float((found[:, 0].double() - exact).abs().max()) < 2**-10 + 1e-6
    )  # half a step of fp16 at 3
    running = torch.zeros(1, 64, dtype=torch.float16)
    for row in range(128):
        running += x[:, row]
    assert float(((running / 128).double() - exact).abs().max()) > 2**-8
    masked = segment_means(x, [128], torch.ones(1, 128, dtype=torch.uint8))
    assert torch.equal(masked, found)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool, torch.float32])
def test_a_mask_may_have_any_dtype(dtype: torch.dtype) -> None:
    x, real = noise(1, 300, 4), torch.arange(300).view(1, -1) % 3 > 0
    found = segment_means(x, [300], real.to(dtype))
    assert torch.allclose(found[0, 0], x[0, real[0]].mean(dim=0), atol=1e-6)
    # 200 real tokens: more than a sum in 8 signed bits could hold
    assert segment_counts([300], real.to(dtype)).tolist() == [[200.0]]
