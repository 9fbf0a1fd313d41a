"""Predictions are judged on cells that were not profiled, and on nothing else."""

from __future__ import annotations

import pytest
from played import SPLIT, played

from prism_edge.bench.contest import Round
from prism_edge.bench.foresight import Told, foretold, summary
from prism_edge.bench.trace import Request, Situation, Trace
from prism_edge.plan import Plan


def situation(rate_bps: float, slowed: float = 0.0) -> Situation:
    return Situation(
        rate_bps=rate_bps,
        slowed=slowed,
        ramp=False,
        requests=(Request(model="m", batch=4, gap_s=0.0),),
    )


TRACE: Trace = (situation(1e8), situation(5e6), situation(5e6, 0.5), situation(5e6))


def exactly(model: str, plan: Plan, batch: int, rate_bps: float | None) -> Told | None:
    """A second a sample for local, half of it for split."""
    seconds = batch / plan.p
    return Told(latency_s=seconds, low_s=0.9 * seconds, high_s=1.1 * seconds)


def profiled(model: str, plan: Plan, batch: int, rate_bps: float | None) -> bool:
    return batch == 4 and (plan.p == 1 or rate_bps == 1e8)


def rounds(batch: int, number: int, factor: float = 1.0) -> list[Round]:
    seconds = {"local": batch * factor, SPLIT: batch / 2 * factor}
    return [played(number, batch, SPLIT, seconds) for _ in range(2)]


def test_only_cells_that_were_not_profiled_count() -> None:
    everything = [*rounds(4, 0), *rounds(3, 0), *rounds(4, 1), *rounds(3, 2)]
    cells = foretold(everything, TRACE, exactly, profiled)
    assert {(cell.rate_bps, cell.batch, cell.plan) for cell in cells} == {
        (None, 3, "local"),
        (1e8, 3, SPLIT),
        (5e6, 4, SPLIT),  # local does not depend on the rate; slowed boards are left out
    }
    assert {len(cell.seconds) for cell in cells if cell.plan == SPLIT} == {4}  # adaptive's too


def test_situations_with_one_rate_are_one_cell() -> None:
    (cell,) = foretold([*rounds(4, 1), *rounds(4, 3)], TRACE, exactly, profiled)
    assert len(cell.seconds) == 8


def test_local_is_one_cell_at_all_rates() -> None:
    cells = foretold([*rounds(3, 0), *rounds(3, 1)], TRACE, exactly, profiled)
    assert [(cell.rate_bps, cell.plan, len(cell.seconds)) for cell in cells] == [
        (None, "local", 4),
        (5e6, SPLIT, 4),
        (1e8, SPLIT, 4),
    ]


def test_cells_that_come_often_do_not_hide_others_that_are_not_covered() -> None:
    often = [*rounds(3, 0), *rounds(3, 0), *rounds(3, 0)]  # as foretold
    rare = [*rounds(6, 1, factor=1.25)]  # not so
    said = summary(foretold([*often, *rare], TRACE, exactly, profiled))
    assert said["coverage"] == pytest.approx(2 / 4)
    assert said["answer_coverage"] == pytest.approx(18 / 24)


def test_errors_are_relative_and_signed_and_intervals_are_checked() -> None:
    late = foretold(rounds(3, 0, factor=1.25), TRACE, exactly, profiled)
    assert [cell.error for cell in late] == pytest.approx([-0.2, -0.2])
    said = summary(late)
    assert said["median_error"] == pytest.approx(0.2)
    assert said["median_signed"] == pytest.approx(-0.2)
    assert said["coverage"] == 0
    assert summary(foretold(rounds(3, 0), TRACE, exactly, profiled))["coverage"] == 1
    assert set(said["by_plan"]) == {"local", SPLIT}


def test_what_cannot_be_predicted_or_was_answered_once_is_left_out() -> None:
    assert foretold(rounds(3, 0), TRACE, lambda *_: None, profiled) == []
    once = [played(0, 3, "local", {"local": 3.0, SPLIT: 1.5})]
    assert [cell.plan for cell in foretold(once, TRACE, exactly, profiled)] == ["local"]
    assert summary([])["median_error"] is None
