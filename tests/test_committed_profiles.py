"""The tables in profiles/ can be read, say how they were measured, and lead to sensible choices."""

from __future__ import annotations

from pathlib import Path
from statistics import median

import pytest

from prism_edge import tables
from prism_edge.plan import Plan
from prism_edge.schedule.cost import Prediction, costs_of, predict
from prism_edge.schedule.policy import choose

PROFILES = sorted(
    path.parent for path in (Path(__file__).parents[1] / "profiles").glob("*/profile.toml")
)
LAB = Path(__file__).parents[1] / "profiles" / "lab"


@pytest.mark.parametrize("directory", PROFILES, ids=lambda path: path.name)
def test_a_committed_profile_reads_and_says_its_conditions(directory: Path):
    profile = tables.read(directory)
    assert profile.compute
    assert profile.link
    assert profile.conditions
    assert all(board.facts.get("torch") for board in profile.boards)
    if profile.kind != "boards":
        assert any("emulated" in warning for warning in profile.warnings)


@pytest.mark.parametrize("batch", [1, 2, 4, 8])
def test_at_one_megabit_the_lab_answers_exactly_and_says_why(batch: int):
    costs = costs_of(tables.read(LAB), "vit-b16")
    assert costs.links is not None
    decision = choose(costs, batch=batch, tokens=197, boards=2, link=costs.links.given(1e6))
    assert decision.plan.method in ("local", "split")
    assert "Mbit/s" in decision.why


def test_on_the_link_that_was_measured_one_request_is_spread():
    costs = costs_of(tables.read(LAB), "vit-b16")
    assert choose(costs, batch=1, tokens=197, boards=2).plan.method == "prism"
    assert choose(costs, batch=8, tokens=197, boards=2).plan.method == "split"


def test_predictions_are_near_what_was_measured_end_to_end():
    profile = tables.read(LAB)
    costs = costs_of(profile, "vit-b16")
    for key in sorted({(row.plan, row.batch) for row in profile.request}):
        rows = [row.latency_s for row in profile.request if (row.plan, row.batch) == key]
        found = predict(costs, Plan.parse(key[0]), key[1], 197, costs.link)
        assert isinstance(found, Prediction)
        assert found.latency_s == pytest.approx(median(rows), rel=0.3), key
