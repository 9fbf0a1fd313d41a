"""Grouped vector quantisation: the nearest code of every group, and the vector it stands for."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from nets import noise
from torch import Tensor

from prism_edge.tensors.codebook import SCORES, Codebooks


def books(blocks: int = 2, g: int = 4, k: int = 9, d: int = 3, seed: int = 5) -> Codebooks:
    return Codebooks(tables=noise(blocks, g, k, d, seed=seed))


def distances(table: Tensor, x: Tensor) -> Tensor:
    """Every squared distance, the long way.  [G,K,d], [B,n,D] -> fp64 [B,n,G,K]"""
    rows = x.double().unflatten(-1, (table.shape[0], 1, -1))  # [B,n,G,1,d]
    return (rows - table.double()).square().sum(dim=-1)


@given(
    g=st.integers(1, 5),
    k=st.integers(2, 40),
    d=st.integers(1, 6),
    rows=st.integers(1, 30),
    seed=st.integers(0, 99),
)
def test_the_code_is_the_nearest(g: int, k: int, d: int, rows: int, seed: int) -> None:
    held = books(2, g, k, d, seed)
    x = noise(2, rows, g * d, seed=seed + 1)
    codes = held.quantise(1, x)
    assert codes.shape == (2, rows, g)
    assert codes.dtype == torch.int64
    every = distances(held.tables[1], x)
    chosen = every.gather(-1, codes[..., None])[..., 0]
    assert torch.allclose(chosen, every.amin(dim=-1), atol=1e-5)


def test_another_blocks_codes_are_not_the_nearest() -> None:
    held, x = books(), noise(2, 30, 12)
    every = distances(held.tables[1], x)
    chosen = every.gather(-1, held.quantise(0, x)[..., None])[..., 0]
    assert not torch.allclose(chosen, every.amin(dim=-1), atol=1e-1)


@given(g=st.integers(1, 5), k=st.integers(2, 40), d=st.integers(1, 6), seed=st.integers(0, 99))
def test_a_row_of_codes_survives_unchanged(g: int, k: int, d: int, seed: int) -> None:
    held = books(2, g, k, d, seed).to(torch.float64)
    source = torch.Generator().manual_seed(seed)
    codes = torch.randint(0, k, (2, 7, g), generator=source)
    x = held.reconstruct(1, codes)
    assert x.shape == (2, 7, g * d)
    for group in range(g):
        part = x[..., group * d : (group + 1) * d]
        assert torch.equal(part, held.tables[1, group][codes[..., group]])
    assert torch.equal(held.reconstruct(1, held.quantise(1, x)), x)
    assert not torch.equal(held.reconstruct(1, held.quantise(1, x + 1e-3)), x + 1e-3)


def test_more_rows_than_are_scored_at_once() -> None:
    held, x = books(k=1024), noise(2, 150, 12)
    assert x[..., 0].numel() * held.g * held.k > SCORES
    every = distances(held.tables[1], x)
    chosen = every.gather(-1, held.quantise(1, x)[..., None])[..., 0]
    assert torch.allclose(chosen, every.amin(dim=-1), atol=1e-5)


def test_rows_in_half_precision_are_quantised_in_that_of_the_tables() -> None:
    held, x = books(), noise(1, 6, 12).half()
    assert torch.equal(held.quantise(0, x), held.quantise(0, x.float()))


@pytest.mark.parametrize(
    ("k", "bits"), [(2, 1), (3, 2), (4, 2), (5, 3), (256, 8), (257, 9), (1000, 10), (1024, 10)]
)
def test_bits_are_as_few_as_can_be(k: int, bits: int) -> None:
    held = books(blocks=1, g=1, k=k)
    assert held.bits == bits
    assert 1 << bits >= k > 1 << (bits - 1)


def test_sizes_are_read_off_the_tables() -> None:
    held = books(blocks=2, g=4, k=9, d=3)
    assert (held.blocks, held.g, held.k, held.width) == (2, 4, 9, 12)
    for tables in (noise(4, 9, 3), noise(1, 1, 1, 4)):
        with pytest.raises(AssertionError):
            Codebooks(tables=tables)


@pytest.mark.gpu
def test_a_gpu_finds_the_same_codes() -> None:
    held, x = books(g=16, k=1024, d=8), noise(2, 98, 128)
    there = held.to(torch.device("cuda"))
    codes = there.quantise(1, x.cuda()).cpu()
    every = distances(held.tables[1], x)
    chosen = every.gather(-1, codes[..., None])[..., 0]
    assert torch.allclose(chosen, every.amin(dim=-1), atol=1e-4)
    assert torch.equal(there.reconstruct(1, codes.cuda()).cpu(), held.reconstruct(1, codes))
