"""A profile's numbers are the schedule's own: its fit and predictions beside what was measured."""

from __future__ import annotations

from dataclasses import replace

import pytest
from synthetic_profile import synthetic_profile

from prism_edge.plan import Plan
from prism_edge.report.costs import costs
from prism_edge.schedule.cost import Prediction, costs_of, predict
from prism_edge.schedule.events import Aim
from prism_edge.tables import LinkRow


def test_compute_is_a_median_per_share_of_a_request() -> None:
    found = costs(synthetic_profile()).compute
    assert len(found) == 2 * 3 * 5  # boards, batches, shares
    whole = next(c for c in found if (c.batch, c.tokens_own, c.board) == (4, 197, "edge-1"))
    assert whole.used_by == "local, split"
    assert whole.n == 7
    assert whole.p50_s == pytest.approx(4 * 0.366, rel=0.02)
    assert whole.low_s is not None
    assert whole.high_s is not None
    assert whole.low_s <= whole.p50_s <= whole.high_s
    used = {(c.tokens_own, c.tokens_known): c.used_by for c in found}
    assert (used[99, 109], used[98, 197]) == ("prism", "voltage")


def test_the_link_is_fitted() -> None:
    exchange, oneway = costs(synthetic_profile()).link
    assert (exchange.operation, oneway.operation) == ("exchange", "oneway")
    assert exchange.alpha_s == pytest.approx(0.0006, rel=0.05)
    assert exchange.bandwidth_bps == pytest.approx(95e6, rel=0.03)
    assert (exchange.n, exchange.fewest_bytes, exchange.most_bytes) == (21, 4096, 1 << 20)
    assert exchange.error < 0.02


def test_a_link_without_a_slope_has_no_rate() -> None:
    rows = tuple(
        LinkRow(src="edge-1", dst="edge-2", op="oneway", world=2, bytes=b, repeat=0, latency_s=1e-3)
        for b in (1000, 2000, 3000)
    )
    (fit,) = costs(replace(synthetic_profile(), link=rows)).link  # exchange was not measured
    assert (fit.operation, fit.bandwidth_bps) == ("oneway", None)


def test_predictions_are_those_the_policy_decides_by() -> None:
    profile = synthetic_profile()
    known = costs_of(profile, "vit-b16")
    found = costs(profile)
    assert [check.plan for check in found.checks] == sorted(
        ["local", "prism:p=2,l=10,dtype=fp16", "split:p=2", "voltage:p=2,dtype=fp32"]
    )
    for check in found.checks:
        meant = predict(known, Plan.parse(check.plan), 4, 197, known.link)
        assert isinstance(meant, Prediction)
        assert check.predicted_s == meant.latency_s
        assert check.error == pytest.approx(meant.latency_s / check.measured_s - 1)
        assert (check.n, check.missing) == (6, None)
    assert found.median_error == pytest.approx(0.025, abs=0.02)


def test_what_cannot_be_predicted_says_why() -> None:
    profile = replace(synthetic_profile(), link=())
    found = {check.plan: check for check in costs(profile).checks}
    assert found["local"].missing is None
    assert found["split:p=2"].predicted_s is None
    assert found["split:p=2"].error is None
    assert "link" in (found["split:p=2"].missing or "")


def test_two_kinds_of_compute_cannot_be_mixed() -> None:
    profile = synthetic_profile()
    other = replace(profile.compute[0], dtype="fp16")
    found = costs(replace(profile, compute=(*profile.compute, other)))
    assert all(check.predicted_s is None for check in found.checks)
    assert "dtype" in (found.checks[0].missing or "")
    assert found.median_error is None


def test_an_empty_profile_has_empty_costs() -> None:
    bare = replace(synthetic_profile(), compute=(), link=(), request=(), accuracy=())
    found = costs(bare)
    assert (found.compute, found.link, found.checks, found.accuracy) == ((), (), (), ())
    assert (found.half_duplex, found.median_error) == (None, None)


def test_conditions_travel_along() -> None:
    found = costs(synthetic_profile())
    assert found.boards["edge-1"] == "cpu, hardware emulated, python 3.11.2, torch 2.13.0"
    assert found.conditions == {"machine": "2 cores", "load": "0.4 before, 0.6 after"}
    assert found.warnings == ("edge-2: compute of batch 4 was not stable",)
    (accuracy,) = found.accuracy
    assert (accuracy.value, accuracy.low, accuracy.n) == (0.986, 0.968, 360)


def test_a_budget_says_of_every_plan_that_approximates_whether_it_may_be_taken() -> None:
    assert costs(synthetic_profile()).budget == ()  # there is none
    known = synthetic_profile()
    drop = replace(known.accuracy[0], metric="drop", value=0.01, ci_low=0.0, ci_high=0.02)
    measured = replace(known, accuracy=(drop,))
    for limit, out in ((0.03, None), (0.005, "its accuracy may be 0.02 lower")):
        rows = {row.plan: row for row in costs(measured, Aim(max_accuracy_drop=limit)).budget}
        assert not any(Plan.parse(plan).exact for plan in rows)
        row = rows["prism:p=2,l=10,dtype=fp16"]
        assert row.drop == 0.02
        assert (row.out is None) == (out is None)
        assert out is None or out in str(row.out)
    (never,) = costs(replace(known, accuracy=()), Aim(drops=(("vit-b16", 0.03),))).budget
    assert never.drop is None
    assert "never measured" in str(never.out)
    exact = costs(measured, Aim(exact=True, max_accuracy_drop=0.03)).budget
    assert {row.out for row in exact} == {"exact plans only"}
