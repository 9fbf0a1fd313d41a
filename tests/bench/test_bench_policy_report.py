"""The report judges by what the aim allows, and says how everything was counted."""

from __future__ import annotations

from dataclasses import replace

import measured
import pytest
from played import SPLIT, played

from prism_edge.bench.policy import Found
from prism_edge.bench.policy_report import permitted, report
from prism_edge.bench.trace import Request, Situation
from prism_edge.cli.bench_policy_table import readable
from prism_edge.cli.bench_table import WIDTH
from prism_edge.schedule.cost import costs_of
from prism_edge.schedule.events import Aim

PRISM = "prism:p=2,l=10,dtype=fp16"
SECONDS = {"local": 2.0, SPLIT: 1.5, PRISM: 1.0}


def found(aim: Aim) -> Found:
    """Three requests of one situation that were answered by split, though prism was faster."""
    costs = replace(costs_of(measured.profile(), "net"), drops={PRISM: 0.02})
    request = Request(model="m", batch=4, gap_s=0.0)
    return Found(
        plans=tuple(SECONDS),
        trace=(Situation(rate_bps=1e8, slowed=0.0, ramp=False, requests=(request,) * 3),),
        rounds=[played(0, 4, SPLIT, SECONDS) for _ in range(3)],
        costs={"m": costs},
        aim=aim,
        tokens={"m": 197},
        profiled={"m": frozenset({1, 2, 4, 8})},
        profiled_bps=1e8,
    )


@pytest.mark.parametrize(
    ("aim", "best", "regret"),
    [
        (Aim(), PRISM, 0.5),
        (Aim(max_accuracy_drop=0.02), PRISM, 0.5),
        (Aim(max_accuracy_drop=0.01), SPLIT, 0.0),
        (Aim(exact=True), SPLIT, 0.0),
    ],
)
def test_the_oracle_takes_only_what_the_aim_allows(aim: Aim, best: str, regret: float) -> None:
    said = report(found(aim))
    assert [row["oracle"] for row in said["situations"]] == [best]
    assert said["regret"] == pytest.approx(regret)
    assert said["situations"][0]["medians_s"] == SECONDS  # known all the same


def test_a_plan_of_which_nobody_knows_the_accuracy_is_out_under_a_limit() -> None:
    unknown = "prism:p=2,l=1,dtype=fp16"
    assert permitted(found(Aim()), "m", unknown)
    assert not permitted(found(Aim(max_accuracy_drop=0.5)), "m", unknown)


def test_where_deciding_was_timed_stands_beside_its_figure() -> None:
    said = report(found(Aim()))
    assert said["conditions"]["deciding"].startswith("timed in the benchmark's own process")
    assert "in runs of 1," in said["conditions"]["intervals"]
    text = readable(said)
    assert "not on a board" in text
    assert "not held to a board's core" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= WIDTH


def test_both_coverages_are_shown() -> None:
    trial = found(Aim())
    trial.profiled = {"m": frozenset()}
    said = report(trial)["prediction"]
    assert {cell["rate_bps"] for cell in said["worst"]} == {None, 1e8}
    assert said["cells"] == 3
    assert set(said["by_plan"]) == set(SECONDS)
    assert "of all answers" in readable(report(trial))
