"""Arrivals are a Poisson process, and the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from prism_edge.client.arrivals import poisson


def test_the_same_seed_gives_the_same_arrivals_in_order() -> None:
    once = poisson(50, 10, seed=3)
    assert once == poisson(50, 10, seed=3) == sorted(once)
    assert once != poisson(50, 10, seed=4)
    assert once[0] > 0
    assert once[-1] < 10


@pytest.mark.parametrize("rate_hz", [5.0, 100.0])
def test_gaps_are_exponential(rate_hz: float) -> None:
    gaps = np.diff([0.0, *poisson(rate_hz, 20_000 / rate_hz, seed=0)])
    assert gaps.mean() * rate_hz == pytest.approx(1, abs=0.03)
    assert gaps.std() * rate_hz == pytest.approx(1, abs=0.05)  # even gaps would have 0
    assert np.median(gaps) * rate_hz == pytest.approx(np.log(2), abs=0.03)


def test_a_longer_run_begins_like_a_shorter_one() -> None:
    assert poisson(10, 20, seed=1)[: len(poisson(10, 5, seed=1))] == poisson(10, 5, seed=1)
