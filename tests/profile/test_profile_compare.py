"""Ratios are paired within rounds, so that what disturbs a whole round cancels out."""

from __future__ import annotations

import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rehearsal import VIT

from prism_edge.errors import PlanError, SettingsError
from prism_edge.plan import LOCAL, Plan
from prism_edge.profile.compare import Wanted, bootstrap, compared, paired_ratios, wire_of
from prism_edge.tables import RequestRow

SPLIT = Plan.parse("split:p=2")
PRISM = Plan.parse("prism:p=2,l=10,dtype=fp16")
WANTED = Wanted(model="m", plans=(LOCAL, SPLIT), against=(LOCAL,), batch=4)


def row(plan: Plan, repeat: int, latency_s: float) -> RequestRow:
    return RequestRow(
        plan=str(plan), model="m", batch=4, tokens=197, repeat=repeat, latency_s=latency_s
    )


def test_a_drifting_machine_does_not_change_a_ratio() -> None:
    source = random.Random(0)
    slowness = [1 + turn + source.random() for turn in range(10)]
    rows = [row(LOCAL, turn, 2.0 * slow) for turn, slow in enumerate(slowness)]
    rows += [row(SPLIT, turn, 1.0 * slow) for turn, slow in enumerate(slowness)]
    source.shuffle(rows)
    local, split = compared(rows, WANTED, {"local": 0, "split:p=2": 7})
    ratio = split.ratios["local"]
    assert (ratio.median, ratio.low, ratio.high) == pytest.approx((0.5, 0.5, 0.5))
    assert local.ratios["local"].high == 1.0
    assert split.latency_s.high > 2 * split.latency_s.low  # unpaired, the drift is all there is
    assert (local.wire_bytes, split.wire_bytes) == (0, 7)


def test_rounds_without_a_partner_are_left_out() -> None:
    assert paired_ratios({0: 1.0, 1: 3.0, 2: 8.0}, {1: 2.0, 2: 4.0, 5: 9.0}) == [1.5, 2.0]


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=30), st.integers(0, 3))
def test_an_interval_holds_its_median_and_stays_within_the_values(
    values: list[float], seed: int
) -> None:
    found = bootstrap(values, seed)
    assert found.median == statistics.median(values)
    assert min(values) <= found.low <= found.median <= found.high <= max(values)
    assert found == bootstrap(values, seed)


def test_an_interval_is_narrower_for_more_repeats() -> None:
    source = random.Random(1)
    many = [source.gauss(1, 0.1) for _ in range(400)]
    few = bootstrap(many[:8], 0)
    lots = bootstrap(many, 0)
    assert lots.high - lots.low < (few.high - few.low) / 2
    assert lots.low < 1.0 < lots.high


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    source = random.Random(2)
    found = [bootstrap([source.gauss(0, 1) for _ in range(25)], 0) for _ in range(60)]
    covered = sum(estimate.low <= 0 <= estimate.high for estimate in found)
    assert 51 <= covered <= 60


def test_bytes_on_the_wire_are_the_layouts() -> None:
    wanted = Wanted(model="m", plans=(LOCAL, PRISM), against=(LOCAL,), batch=1)
    # METHODS of the paper: patches + first means + 11 exchanges; the last one is one-way
    assert wire_of(wanted, VIT, 197, 2) == {"local": 0, str(PRISM): 75264 + 15360 + 322560}


def test_a_plan_that_does_not_fit_is_refused() -> None:
    wanted = Wanted(model="m", plans=(LOCAL, PRISM), against=(LOCAL,), batch=1)
    with pytest.raises(PlanError, match="1 board"):
        wire_of(wanted, VIT, 197, 1)


@pytest.mark.parametrize(("batch", "repeats"), [(0, 1), (1, 0)])
def test_nothing_to_measure_is_refused(batch: int, repeats: int) -> None:
    with pytest.raises(SettingsError, match="allowed is 1"):
        Wanted(model="m", plans=(LOCAL,), against=(LOCAL,), batch=batch, repeats=repeats)


def test_a_baseline_must_be_measured_too() -> None:
    with pytest.raises(PlanError, match="not among the plans"):
        Wanted(model="m", plans=(LOCAL,), against=(SPLIT,), batch=1)
