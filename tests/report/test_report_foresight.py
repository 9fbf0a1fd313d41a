"""Predictions are held against what ran as the policy meant it to, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from synthetic_journal import ACTS, PRISM, SPLIT, synthetic

from prism_edge.report.foresight import foresights
from prism_edge.report.numbers import numbers

BATCHES = numbers(synthetic()).batches


def test_every_plan_that_the_policy_chose_is_there_with_its_error() -> None:
    found = {row.plan: row for row in foresights(BATCHES)}
    assert set(found) == {PRISM, SPLIT, "local"}
    split = found[SPLIT]
    assert split.n == ACTS[1].rounds
    assert split.predicted_s == pytest.approx(1.02 * 0.97, abs=1e-3)
    assert split.ratio == pytest.approx(1 / 0.97, rel=0.03)
    assert split.low is not None
    assert split.low <= split.ratio
    assert 0 < split.error < 0.1


def test_what_was_named_fell_back_or_failed_is_no_prediction() -> None:
    kept = [b for b in BATCHES if not b.asked and b.meant is None]
    assert sum(row.n for row in foresights(BATCHES)) == len(kept)
    assert not foresights([replace(b, ok=False) for b in BATCHES])
    assert not foresights([replace(b, meant="split:p=2") for b in BATCHES])
    assert not foresights([replace(b, predicted_s=None) for b in BATCHES])
