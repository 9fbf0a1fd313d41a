"""Passes of a rank's part: warmed up, counted, and as long as a power meter needs."""

from __future__ import annotations

import checkpoints
import pytest

from prism_edge.engine.measure import MOST_PASSES, measure
from prism_edge.engine.steady import WARM_PASSES
from prism_edge.families import load
from prism_edge.families.model import Model
from prism_edge.plan import Plan
from prism_edge.profile.visits import PASSES


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load(checkpoints.write(tmp_path_factory.mktemp("vit"), *checkpoints.vit()))


@pytest.mark.parametrize(("plan", "rank"), [("local", 0), ("prism:p=2,l=2", 0), ("voltage:p=2", 1)])
def test_one_pass_warms_up_and_the_others_count(model: Model, plan: str, rank: int) -> None:
    passes = measure(model, Plan.parse(plan), rank, 2, 17, 3)
    assert (len(passes.warm), len(passes.counted)) == (1, 3)
    assert min(passes.warm + passes.counted) > 0


def test_warming_up_takes_at_least_two_passes_and_ends(model: Model) -> None:
    passes = measure(model, Plan.parse("local"), 0, 1, 17, 1, warm_s=60.0)
    assert 2 <= len(passes.warm) <= WARM_PASSES
    assert len(passes.counted) == 1
    assert len(measure(model, Plan.parse("local"), 0, 1, 17, 1, warm_s=1e-9).warm) == 2


def test_short_passes_go_on_for_a_meter_but_not_for_ever(model: Model) -> None:
    long = measure(model, Plan.parse("local"), 0, 1, 17, 1, at_least_s=1e-4)
    assert sum(long.counted) >= 1e-4
    assert len(measure(model, Plan.parse("local"), 0, 1, 17, 1, at_least_s=60.0).counted) == (
        MOST_PASSES
    )


def test_the_passes_of_a_visit_have_numbers_of_their_own() -> None:
    assert MOST_PASSES <= PASSES


def test_no_repeats_are_none(model: Model) -> None:
    assert measure(model, Plan.parse("local"), 0, 1, 17, 0).counted == []
