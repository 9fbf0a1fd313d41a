"""Ratios are paired within rounds, so that what disturbs a whole round cancels out."""

from __future__ import annotations

import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_edge.bench.compare import (
    Cell,
    PlanFacts,
    Sample,
    Task,
    bootstrap,
    paired_ratios,
    peaks,
    rows_of,
)
from prism_edge.plan import LOCAL, Plan

CELL = Cell(model="m", work="forward", batch=4, tokens=197, rate="100mbit", boards=2)
PRISM = Plan.parse("prism:p=2,l=10,dtype=fp16")
FULL = Plan.parse("voltage:p=2,dtype=fp32")
HF, FLOATS, OURS = Task(kind="hugging-face"), Task(kind="floats"), Task(kind="plan")
SECONDS = {
    HF: 2.0,
    FLOATS: 1.8,
    OURS: 1.9,
    Task(kind="plan", plan=PRISM): 1.0,
    Task(kind="bound", plan=PRISM): 0.9,
    Task(kind="plan", plan=FULL): 4.0,
}


def facts(plan: Plan) -> PlanFacts:
    return PlanFacts(
        wire_bytes=7 * (plan.p - 1), syncs=11, weights_bytes=330, attention_kernel="flash"
    )


def samples(slowness: list[float]) -> list[Sample]:
    """Rounds in which everything takes ``slowness`` times as long as it should."""
    found = [
        Sample(
            task=task,
            turn=turn,
            seconds=seconds * slow,
            peak_bytes=(10 + turn, 20 - turn)[: task.plan.p],
        )
        for turn, slow in enumerate(slowness)
        for task, seconds in SECONDS.items()
    ]
    random.Random(0).shuffle(found)
    return found


def test_a_drifting_machine_does_not_change_a_ratio() -> None:
    source = random.Random(0)
    drift = [1 + turn + source.random() for turn in range(10)]
    rows = rows_of(CELL, samples(drift), {p: facts(p) for p in (LOCAL, PRISM, FULL)}, "math", 0)
    hf, local, prism, full = rows
    assert [row.plan for row in rows] == ["hugging-face", "local", str(PRISM), str(FULL)]
    assert (prism.ratio_hf, prism.speedup, prism.bound_speedup, prism.efficiency) == (
        pytest.approx((0.5, 1.9, 1.9 / 0.9, 0.9))
    )
    assert (prism.efficiency_low, prism.efficiency_high) == pytest.approx((0.9, 0.9))
    assert (prism.ratio_full, prism.ratio_full_high, full.ratio_full) == pytest.approx(
        (0.25,) * 2 + (1,)
    )
    assert local.ratio_hf == pytest.approx(0.9)  # of the run on Hugging Face's own floats
    assert local.speedup == hf.ratio_hf == 1.0
    assert local.latency_s == pytest.approx(1.9 * statistics.median(drift))
    assert prism.latency_high_s > 2 * prism.latency_low_s  # unpaired, the drift is all there is


def test_what_there_is_not_is_none() -> None:
    hf, local, _, full = rows_of(
        CELL, samples([1.0]), {p: facts(p) for p in (LOCAL, PRISM, FULL)}, "math", 0
    )
    assert (hf.speedup, hf.efficiency, hf.wire_bytes, hf.weights_bytes) == (None,) * 4
    assert (local.bound_s, local.bound_speedup, local.efficiency_low) == (None,) * 3
    assert (full.bound_s, full.efficiency) == (None, None)  # its bound was not measured
    assert rows_of(CELL, samples([1.0]), {LOCAL: facts(LOCAL)}, "", 0)[1].ratio_full is None
    assert (hf.attention_kernel, local.attention_kernel) == ("math", "flash")


def test_a_row_knows_the_worst_round_of_every_rank() -> None:
    rows = rows_of(CELL, samples([1.0, 1.0]), {p: facts(p) for p in (LOCAL, PRISM)}, "", 0)
    assert rows[1].memory_peak_bytes == (11,)
    assert rows[2].memory_peak_bytes == (11, 20)
    assert peaks([Sample(task=OURS, turn=0, seconds=1.0)]) is None
    assert peaks([]) is None


def test_rounds_without_a_partner_are_left_out() -> None:
    assert paired_ratios({0: 1.0, 1: 3.0, 2: 8.0}, {1: 2.0, 2: 4.0, 5: 9.0}) == [1.5, 2.0]


def test_tasks_are_told_apart_by_name() -> None:
    assert len({str(task) for task in SECONDS}) == len(SECONDS)
    assert str(OURS) == "local"


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
