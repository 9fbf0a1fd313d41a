"""k-means: the same seed, the same codes; with a code for every row nothing is lost."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from nets import noise
from torch import Tensor

from prism_edge.tensors.codebook import Codebooks
from prism_edge.tensors.kmeans import fit, quality


def round_trip(table: Tensor, x: Tensor) -> Tensor:
    held = Codebooks(tables=table[None])
    return held.reconstruct(0, held.quantise(0, x[None]))[0]


def clusters(count: int, each: int, width: int) -> Tensor:
    """``each`` rows close around each of ``count`` far centres, in any order."""
    centres = 20 * noise(count, 1, width)
    rows = (centres + 0.1 * noise(count, each, width, seed=2)).flatten(0, 1)
    return rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(3))]


@given(
    distinct=st.integers(1, 12),
    spare=st.integers(0, 5),
    repeats=st.integers(1, 4),
    g=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_a_code_for_every_distinct_row_loses_nothing(
    distinct: int, spare: int, repeats: int, g: int, seed: int
) -> None:
    rows = noise(distinct, g * 4, seed=seed, dtype=torch.float64).repeat(repeats, 1)
    table = fit(rows, g, max(2, distinct + spare), seed)
    assert table.shape == (g, max(2, distinct + spare), 4)
    assert torch.equal(round_trip(table, rows), rows)
    if distinct > 2:  # one code fewer, and some row is not what it was
        assert not torch.equal(round_trip(fit(rows, g, distinct - 1, seed), rows), rows)


def test_the_seed_decides() -> None:
    rows = noise(300, 12)
    assert torch.equal(fit(rows, 3, 16, seed=7), fit(rows, 3, 16, seed=7))
    assert not torch.equal(fit(rows, 3, 16, seed=7), fit(rows, 3, 16, seed=8))


def test_iterations_bring_codes_closer_to_the_rows() -> None:
    rows = noise(500, 12)
    errors = [quality(fit(rows, 3, 16, iterations=n), rows).relative_error for n in (0, 1, 10)]
    assert errors[0] > errors[1] > errors[2]


def test_far_clusters_are_all_found_though_the_start_missed_some() -> None:
    rows = clusters(count=12, each=40, width=6)
    start, settled = (quality(fit(rows, 1, 16, iterations=n), rows) for n in (0, 20))
    assert start.relative_error > 0.1  # some cluster had no code to begin with
    assert settled.relative_error < 0.01


def test_no_code_stays_unused_when_rows_are_worth_one() -> None:
    # two codes start among 500 rows that are nearly one, so that one of them is soon deserted
    rows = torch.cat([noise(500, 2) * 1e-3, 50 + noise(3, 2) * 10])
    assert quality(fit(rows, 1, 4), rows).used == 1.0


def test_quality_says_what_was_lost_and_what_was_used() -> None:
    rows = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    table = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [9.0, 9.0], [8.0, 8.0]]])
    found = quality(table, rows)
    assert found.relative_error == 0
    assert found.used == 0.5
    assert found.perplexity == pytest.approx(2)
    off = quality(table, rows * 2)
    assert off.relative_error == pytest.approx(0.5)
    skewed = quality(table, torch.cat([rows, rows[:1].expand(96, 2)]))
    assert 1 < skewed.perplexity < 1.2


def test_a_width_that_cannot_be_cut_is_our_bug() -> None:
    with pytest.raises(AssertionError, match="width 10 in 3 groups"):
        fit(noise(5, 10), 3, 4)
    with pytest.raises(AssertionError, match="no samples"):
        fit(noise(0, 9), 3, 4)
