"""What was never measured is predicted only when asked for, marked as such, and less sure."""

from __future__ import annotations

import dataclasses

import pytest
from measured import BERT, VIT, compute_s, profile

from prism_edge.plan import LOCAL, Plan
from prism_edge.schedule.cost import Costs, Prediction, Unpredictable, costs_of, predict
from prism_edge.schedule.events import Aim
from prism_edge.schedule.fit import GUESSED
from prism_edge.schedule.link import LinkState
from prism_edge.schedule.policy import choose

COSTS = costs_of(profile(idle_w=2.0, busy_w=7.0, speeds=(1.0, 0.5)), "net")
SMALL = dataclasses.replace(VIT, width=384, heads=6, ffn=1536)


def predicted(
    costs: Costs, text: str, batch: int, tokens: int = 197, link: LinkState | None = None
) -> Prediction:
    found = predict(costs, Plan.parse(text), batch, tokens, link or costs.link)
    assert isinstance(found, Prediction), found
    return found


def width(found: Prediction) -> float:
    return found.high_s / found.latency_s - 1


MEASURED = ["local", "split:p=2", "prism:p=2,l=10,dtype=fp16", "voltage:p=2"]


@pytest.mark.parametrize("text", MEASURED)
@pytest.mark.parametrize("batch", [2, 3, 8])
def test_measured_plans_take_what_they_did_with_more_boards(text: str, batch: int) -> None:
    """All but the energy, to which two more idle boards are added."""
    before, after = (predicted(costs, text, batch) for costs in (COSTS, COSTS.with_boards(4)))
    assert after == dataclasses.replace(before, energy_j=after.energy_j)
    assert not after.extrapolated
    assert before.energy_j is not None
    assert after.energy_j == pytest.approx(before.energy_j + 2 * 2.0 * before.latency_s)


def test_fewer_boards_than_were_measured_are_no_guess() -> None:
    assert COSTS.with_boards(2).boards == COSTS.boards
    assert not COSTS.with_boards(1).imagined
    assert COSTS.with_boards(1).boards == COSTS.boards[:1]


@pytest.mark.parametrize("p", [3, 4])
def test_boards_that_are_not_there_are_like_the_last_one(p: int) -> None:
    four = COSTS.with_boards(4)
    assert four.imagined
    found = predicted(four, f"split:p={p}", p)
    assert found.terms["compute_s"] == pytest.approx(compute_s(VIT, 197, 197, 1, speed=0.5))
    assert isinstance(predict(COSTS, found.plan, p, 197, COSTS.link), Unpredictable)


def test_a_cell_that_was_not_measured_is_scaled_marked_and_less_sure() -> None:
    plan = Plan.parse("prism:p=4,l=10,dtype=fp16")
    found = predict(COSTS.with_boards(4), plan, 1, 197, COSTS.link)
    assert isinstance(found, Prediction)
    assert found.extrapolated
    assert width(found) == pytest.approx(width(predicted(COSTS, "local", 1)) + GUESSED)
    # of boards that are linear in operations but for 4 ms a pass, of which a quarter is left over
    true_s = compute_s(VIT, 50, 80, 1, speed=0.5)
    assert found.terms["compute_s"] == pytest.approx(true_s, rel=0.05)


def test_without_being_asked_nothing_is_guessed() -> None:
    """Negative control: the same cell on the boards that there are."""
    found = predict(COSTS, Plan.parse("local"), 64, 197, COSTS.link)
    assert isinstance(found, Unpredictable)
    assert "not profiled" in found.reason
    guessed = predicted(COSTS.with_boards(4), "local", 64)
    assert guessed.extrapolated
    assert guessed.latency_s == pytest.approx(compute_s(VIT, 197, 197, 64), rel=0.05)


def test_more_boards_move_more_bytes_and_wait_longer() -> None:
    four = COSTS.with_boards(4)
    slow = LinkState(alpha_s=0.001, bandwidth_bps=5e6, source="given")
    moved = [
        predicted(four, f"prism:p={p},l=10,dtype=fp16", 4, link=slow).terms["exchange_s"]
        for p in (2, 3, 4)
    ]
    assert moved == sorted(moved)
    assert moved[2] > 2 * moved[0]


def test_another_model_is_scaled_by_its_operations() -> None:
    small = COSTS.for_shape("vit-small", SMALL)
    assert (small.model, small.shape, small.imagined) == ("vit-small", SMALL, True)
    for text in MEASURED:
        found = predicted(small, text, 4)
        assert found.extrapolated
        assert width(found) > width(predicted(COSTS, text, 4))
    ratio = predicted(small, "local", 4).latency_s / predicted(COSTS, "local", 4).latency_s
    assert ratio == pytest.approx(compute_s(SMALL, 197, 197, 4) / compute_s(VIT, 197, 197, 4), 0.03)
    # rows are half as wide, so half as much travels
    plan = "voltage:p=2,dtype=fp16"
    sizes = [predicted(costs, plan, 4).work.exchanged_bytes for costs in (small, COSTS)]
    assert sizes[1] == 2 * sizes[0]


def test_of_another_model_even_a_cell_of_equal_tokens_is_a_guess() -> None:
    text = COSTS.for_shape("bert", BERT)
    found = predicted(text, "local", 1, tokens=197)
    assert found.extrapolated
    assert found.latency_s == pytest.approx(predicted(COSTS, "local", 1).latency_s, rel=0.01)


def test_the_accuracy_of_another_model_is_not_known() -> None:
    even = costs_of(profile(), "net")
    costs = dataclasses.replace(even, drops={"prism:p=2,l=10,dtype=fp16": 0.001})
    plans = [Plan.parse("prism:p=2,l=10,dtype=fp16")]
    aim = Aim(max_accuracy_drop=0.01)
    mine = choose(costs, batch=1, tokens=197, plans=plans, aim=aim)
    assert mine.plan == plans[0]
    other = choose(costs.for_shape("s", SMALL), batch=1, tokens=197, plans=plans, aim=aim)
    assert other.plan == LOCAL
    assert "its accuracy was never measured" in str(other.considered)


def test_both_at_once() -> None:
    found = choose(COSTS.with_boards(4).for_shape("s", SMALL), batch=8, tokens=197)
    assert found.predicted is not None
    assert found.predicted.extrapolated
    assert {item.plan.p for item in found.considered} == {1, 2, 3, 4}
