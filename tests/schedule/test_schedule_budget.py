"""No plan is chosen that may lose more than the budget, or of which nobody knows: by no entry.

Tables and budgets are drawn; what each plan may lose is drawn first and the rows made from it, so
that the law does not repeat the code. A user may still name any plan: ``tests/serve/test_decide``.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from measured import ALPHA_S, profile
from world import World

from prism_edge.decision_map.grid import grid
from prism_edge.plan import Plan
from prism_edge.schedule.accuracy import approximating, drop_of, worst_drops
from prism_edge.schedule.candidates import candidates
from prism_edge.schedule.cost import Prediction, costs_of
from prism_edge.schedule.events import Aim
from prism_edge.schedule.link import LinkState
from prism_edge.schedule.policy import Decision, choose
from prism_edge.tables import AccuracyRow

COSTS = {boards: costs_of(profile(boards=boards), "net") for boards in (2, 3)}
BATCHES = (1, 3, 4)
PLANS = [
    *dict.fromkeys(
        plan
        for boards in COSTS
        for batch in BATCHES
        for plan in candidates(COSTS[boards].shape, batch, 197, boards, (1, 10))
        if not plan.exact and plan.method != "split+prism"
    ),
    Plan.parse("prism:p=2,l=1,dtype=int8"),
]
Losses = dict[Plan, list[tuple[bool, float]]]  # of several data sets: measured in pairs, or not

few = st.lists(st.tuples(st.booleans(), st.floats(-0.1, 0.3)), min_size=1, max_size=2)
drawn_losses = st.dictionaries(st.sampled_from(PLANS), few, max_size=8)
limits = st.floats(0, 0.3)


def row(plan: Plan | str, dataset: int, metric: str, value: float, **ends: float) -> AccuracyRow:
    said = {"model": "net", "plan": str(plan), "dataset": f"data-{dataset}", "metric": metric}
    return AccuracyRow(**said, value=value, n=500, **ends)


def rows_of(losses: Losses) -> list[AccuracyRow]:
    """Tables in which every plan may lose just that: a middle that says less, an end that does."""
    rows = [row("local", k, "accuracy", 0.9) for k in (0, 1)]
    for plan, found in losses.items():
        for k, (in_pairs, loss) in enumerate(found):
            rows.append(row(plan, k, "accuracy", 0.92 - loss, ci_low=0.9 - loss, ci_high=1.0))
            if in_pairs:  # then the row above does not count, however bad it looks
                rows[-1] = replace(rows[-1], ci_low=-1.0)
                rows.append(row(plan, k, "drop", loss - 0.02, ci_low=-1.0, ci_high=loss))
    return rows


def allowed(plan: Plan, losses: Losses, limit: float) -> bool:
    """By what was drawn; a hybrid by its other part, a rounding apart."""
    worst = max((loss for _, loss in losses.get(approximating(plan), [])), default=None)
    return plan.exact or (worst is not None and worst <= limit + 1e-12)


def broken(decision: Decision, losses: Losses, limit: float) -> list[Plan]:
    """Chosen, or offered for choice, against the law."""
    offered = [item.plan for item in decision.considered if isinstance(item, Prediction)]
    return [plan for plan in (decision.plan, *offered) if not allowed(plan, losses, limit)]


@given(
    losses=drawn_losses,
    limit=limits,
    boards=st.sampled_from(list(COSTS)),
    batch=st.sampled_from(BATCHES),
    bandwidth_bps=st.floats(1e5, 1e10),
    previous=st.none() | st.sampled_from(PLANS),
    left_s=st.none() | st.floats(0.001, 10),
    imagined=st.booleans(),
    named=st.booleans(),
)
def test_no_choice_is_beyond_the_budget(
    losses: Losses,
    limit: float,
    boards: int,
    batch: int,
    bandwidth_bps: float,
    previous: Plan | None,
    left_s: float | None,
    imagined: bool,
    named: bool,
) -> None:
    costs = replace(COSTS[boards], drops=worst_drops(rows_of(losses), "net"), imagined=imagined)
    decision = choose(
        costs,
        batch=batch,
        tokens=197,
        link=LinkState(alpha_s=ALPHA_S, bandwidth_bps=bandwidth_bps, source="given"),
        previous=previous,
        aim=Aim(max_accuracy_drop=limit),
        plans=PLANS if named else None,
        left_s=left_s,
    )
    assert not broken(decision, losses, limit)
    assert f"at most {limit:g} less accuracy" in decision.why


@settings(max_examples=15)
@given(losses=drawn_losses, limit=limits, seed=st.integers(0, 99))
def test_no_day_of_a_daemon_is_beyond_the_budget(losses: Losses, limit: float, seed: int) -> None:
    costs = replace(COSTS[2], drops=worst_drops(rows_of(losses), "net"))
    world = World(
        costs=costs,
        aim=Aim(max_accuracy_drop=limit),
        rate_bps=lambda now_s: 1e9 if int(now_s) % 2 else 2e6,
        noise=0.1,
        odd=5,
        seed=seed,
    )
    for turn in world.run(4.0, BATCHES, 0.2):
        assert not broken(turn.decision, losses, limit)


@settings(max_examples=5)
@given(losses=drawn_losses, limit=limits)
def test_no_cell_of_a_map_is_beyond_the_budget(losses: Losses, limit: float) -> None:
    costs = replace(COSTS[2], drops=worst_drops(rows_of(losses), "net"))
    found = grid(costs, Aim(max_accuracy_drop=limit), tokens=197, measured=BATCHES)
    assert all(allowed(plan, losses, limit) for plan in found.plans)


@pytest.mark.parametrize("batch", BATCHES)
def test_without_a_budget_the_same_tables_break_the_law(batch: int) -> None:
    """Negative control: the law holds for the budget's sake."""
    fast = LinkState(alpha_s=ALPHA_S, bandwidth_bps=1e9, source="given")
    decision = choose(COSTS[2], batch=batch, tokens=197, link=fast)
    assert broken(decision, {}, 0.005)


def test_half_a_point_changes_the_choice_as_the_table_says() -> None:
    """From no budget to none to spend: what is chosen is the fastest that the table allows."""
    fast = LinkState(alpha_s=ALPHA_S, bandwidth_bps=1e9, source="given")
    coarse, fine = (Plan.parse(f"prism:p=2,l={l},dtype=fp16") for l in (1, 10))  # noqa: E741
    losses: Losses = {coarse: [(True, 0.03)], fine: [(True, 0.004)]}
    costs = replace(COSTS[2], drops=worst_drops(rows_of(losses), "net"))
    chosen = {
        limit: choose(costs, batch=1, tokens=197, link=fast, aim=Aim(max_accuracy_drop=limit))
        for limit in (None, 0.05, 0.005, 0.001)
    }
    assert chosen[None].plan == chosen[0.05].plan == coarse
    assert chosen[0.005].plan == fine
    assert chosen[0.001].plan.exact
    said = "at most 0.005 less accuracy, prism:p=2,l=10,dtype=fp16 may lose 0.004 (out: 1 may lose"
    assert said in chosen[0.005].why


def test_a_hybrid_loses_what_its_approximating_part_does() -> None:
    """Not what the mix in some batch does: whoever sends three samples has one approximated."""
    hybrid = Plan.parse("split+prism:p=2,l=1,dtype=fp16")
    for loss, limit, expected in ((0.03, 0.02, False), (0.03, 0.04, True)):
        losses: Losses = {approximating(hybrid): [(True, loss)]}
        costs = replace(COSTS[2], drops=worst_drops(rows_of(losses), "net"))
        found = choose(costs, batch=3, tokens=197, aim=Aim(max_accuracy_drop=limit))
        known = {item.plan for item in found.considered if isinstance(item, Prediction)}
        assert (hybrid in known) == expected


def test_a_hybrid_and_its_approximating_part_are_judged_by_the_rows_of_both() -> None:
    """As the same computing they have one drop: the worst over rows and data sets."""
    hybrid = Plan.parse("split+prism:p=2,l=1,dtype=fp16")
    prism = approximating(hybrid)
    for worse, better in ((hybrid, prism), (prism, hybrid)):
        for dataset in (0, 1):
            rows = [
                row(worse, 0, "drop", 0.01, ci_low=0.0, ci_high=0.03),
                row(better, dataset, "drop", 0.0, ci_low=0.0, ci_high=0.004),
            ]
            drops = worst_drops(rows, "net")
            assert drop_of(hybrid, drops) == drop_of(prism, drops) == 0.03


def test_where_the_model_itself_lost_too_much_it_is_said() -> None:
    """Against another model's answers, as with --reference: there is nothing better to choose."""
    costs, fast = (
        replace(COSTS[2], drops={"local": 0.02}),
        LinkState(alpha_s=ALPHA_S, bandwidth_bps=1e9, source="given"),
    )
    for plan in ("local", "voltage:p=2,dtype=fp32"):
        decision = choose(
            costs,
            batch=1,
            tokens=197,
            link=fast,
            aim=Aim(max_accuracy_drop=0.005),
            plans=[Plan.parse(plan)],
        )
        assert str(decision.plan) == plan
        assert f"at most 0.005 less accuracy, but {plan} may lose 0.02 itself" in decision.why
