"""Law 16: the choice is the argmin of the table, ties and hysteresis are deterministic, one cell
changed must change the choice, and what was not profiled is answered locally with a reason."""

from __future__ import annotations

import dataclasses
import random
import re
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from measured import ALPHA_S, BERT, GPT2, VIT, profile

from prism_edge.layout import check_fits
from prism_edge.plan import LOCAL, Plan
from prism_edge.schedule.accuracy import worst_drops
from prism_edge.schedule.cost import Costs, Prediction, Unpredictable, costs_of, predict
from prism_edge.schedule.events import Aim
from prism_edge.schedule.link import LinkState
from prism_edge.schedule.policy import (
    Decision,
    Fixed,
    Menu,
    candidates,
    choose,
    decide,
)
from prism_edge.tables import AccuracyRow

PRISM = Plan.parse("prism:p=2,l=10,dtype=fp16")
SPLIT = Plan.parse("split:p=2")
COSTS = costs_of(profile(), "net")
NETS = [
    (COSTS, 197),
    (costs_of(profile(boards=3, speeds=(1.0, 0.7, 0.4)), "net"), 197),
    (costs_of(profile(BERT, tokens=(128, 512), segments=(1, 8)), "net"), 300),
    (costs_of(profile(GPT2, boards=3, tokens=(64, 512), segments=(1, 16)), "net"), 512),
]


def link(bandwidth_bps: float) -> LinkState:
    return LinkState(alpha_s=ALPHA_S, bandwidth_bps=bandwidth_bps, source="observed")


def costs_with(change: Mapping[tuple[str, int, int], float]) -> Costs:
    """The usual costs with the cells (board, n, batch) taking so many times as long."""
    made = profile()
    rows = tuple(
        dataclasses.replace(
            row,
            latency_s=row.latency_s * change.get((row.board, row.tokens_own, row.batch), 1.0),
        )
        for row in made.compute
    )
    return costs_of(dataclasses.replace(made, compute=rows), "net")


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(NETS), st.integers(1, 8), st.floats(5, 9.5), st.booleans())
def test_the_choice_is_the_argmin(
    case: tuple[Costs, int], batch: int, exponent: float, exact: bool
) -> None:
    costs, tokens = case
    over = link(10**exponent)
    made = choose(costs, batch=batch, tokens=tokens, link=over, aim=Aim(exact=exact))
    everything = candidates(
        costs.shape, batch, tokens, len(costs.boards), costs.segments(tokens) or (1, 2, 5, 10, 20)
    )
    found = [predict(costs, plan, batch, tokens, over) for plan in everything]
    least = min(
        item.latency_s
        for item in found
        if isinstance(item, Prediction) and (item.plan.exact or not exact)
    )
    assert made.predicted is not None
    assert made.predicted.plan == made.plan
    assert made.predicted.latency_s == pytest.approx(least, rel=1e-12)
    assert made.why


def test_one_cell_changed_changes_the_choice() -> None:
    assert choose(COSTS, batch=1, tokens=197, boards=2).plan.method == "prism"
    slower = costs_with({("edge-2", 98, 1): 4.0})
    assert choose(slower, batch=1, tokens=197, boards=2).plan == LOCAL
    # negative control: a cell of another batch changes nothing
    other = costs_with({("edge-2", 98, 8): 4.0})
    assert choose(other, batch=1, tokens=197, boards=2).plan.method == "prism"


def test_every_method_wins_somewhere() -> None:
    fastest = {
        choose(COSTS, batch=batch, tokens=197, link=link(rate), aim=Aim(exact=exact)).plan.method
        for batch in (1, 4)
        for rate in (2e5, 1e7, 1e9)
        for exact in (False, True)
    }
    assert fastest == {"local", "split", "prism", "voltage"}


@pytest.mark.parametrize("batch", [1, 2, 4, 8])
def test_at_1_mbit_nothing_is_exchanged_and_it_says_why(batch: int) -> None:
    made = choose(COSTS, batch=batch, tokens=197, boards=2, link=link(1e6), plans=[SPLIT, PRISM])
    assert made.plan.method in ("local", "split")
    assert "over 1 Mbit/s alone takes" in made.why


def equal(texts: list[str], local_s: float = 2.0) -> Decision:
    """The choice when the given plans take exactly one second each, and local ``local_s``."""
    made = profile(segments=(1, 2, 10))
    rows = tuple(
        dataclasses.replace(
            row, latency_s=local_s if row.tokens_own == 197 and row.batch == 2 else 1.0
        )
        for row in made.compute
    )
    costs = costs_of(dataclasses.replace(made, compute=rows, link=()), "net")
    links = COSTS.links
    assert links is not None
    line = dataclasses.replace(links.oneway, alpha_s=0.0)
    costs = dataclasses.replace(costs, links=dataclasses.replace(links, oneway=line))
    free = LinkState(alpha_s=0.0, bandwidth_bps=float("inf"), source="given")
    return choose(
        costs, batch=2, tokens=197, boards=2, link=free, plans=[Plan.parse(text) for text in texts]
    )


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["voltage:p=2", "split:p=2", "prism:p=2,l=1,dtype=fp16"], "split:p=2"),
        (["voltage:p=2", "prism:p=2,l=10", "prism:p=2,l=2"], "prism:p=2,l=2,dtype=fp32"),
        (["prism:p=2,l=2", "prism:p=2,l=2,dtype=fp16"], "prism:p=2,l=2,dtype=fp16"),
    ],
)
def test_equal_plans_in_any_order(texts: list[str], expected: str, turned: bool) -> None:
    made = equal(texts[::-1] if turned else texts)
    others = [item for item in made.considered[1:] if isinstance(item, Prediction)]
    assert len({item.latency_s for item in others}) == 1, "not a tie"
    assert str(made.plan) == expected


def test_local_wins_a_tie() -> None:
    texts = ["split:p=2", "prism:p=2,l=1,dtype=fp16"]
    assert equal(texts, local_s=1.0).plan == LOCAL
    assert equal(texts, local_s=1.0000001).plan == SPLIT  # negative control


class TestHysteresis:
    def latencies(self, rate: float) -> dict[Plan, float]:
        made = choose(COSTS, batch=4, tokens=197, boards=2, link=link(rate))
        return {i.plan: i.latency_s for i in made.considered if isinstance(i, Prediction)}

    def test_the_previous_plan_is_kept_while_nothing_is_clearly_better(self) -> None:
        rate = 20e6
        found = self.latencies(rate)
        best = min(found, key=lambda plan: found[plan])
        near = next(p for p, t in found.items() if found[best] < t < found[best] / 0.95)
        far = next(p for p, t in found.items() if t > found[best] / 0.9)
        for previous, expected in ((near, near), (far, best), (best, best), (None, best)):
            made = choose(COSTS, batch=4, tokens=197, boards=2, link=link(rate), previous=previous)
            assert made.plan == expected
        kept = choose(COSTS, batch=4, tokens=197, boards=2, link=link(rate), previous=near)
        assert kept.margin is not None
        assert kept.margin < 0
        assert re.search(rf"; kept, because {best} would take only [1-4] % less$", kept.why)

    def test_without_it_the_best_is_taken(self) -> None:
        found = self.latencies(20e6)
        best = min(found, key=lambda plan: found[plan])
        near = next(p for p, t in found.items() if found[best] < t < found[best] / 0.95)
        free = Aim(hysteresis=0.0)
        made = choose(COSTS, batch=4, tokens=197, link=link(20e6), previous=near, aim=free)
        assert made.plan == best

    def test_it_does_not_flap_around_a_crossing(self) -> None:
        """The link wavers by 3 % around the rate at which two plans change places."""
        plans = [PRISM, SPLIT]

        def pick(rate: float, previous: Plan | None) -> Plan:
            return choose(
                COSTS,
                batch=4,
                tokens=197,
                boards=2,
                link=link(rate),
                previous=previous,
                plans=plans,
            ).plan

        low, high = 1e6, 1e9
        while high / low > 1.001:
            middle = (low * high) ** 0.5
            low, high = (middle, high) if pick(middle, None) == pick(low, None) else (low, middle)
        assert pick(low, None) != pick(high, None)
        rng = random.Random(1)
        rates = [low * rng.uniform(0.97, 1.03) for _ in range(50)]
        memory, plan, forgetful = [], None, []
        for rate in rates:
            plan = pick(rate, plan)
            memory.append(plan)
            forgetful.append(pick(rate, None))
        assert len(set(memory)) == 1
        assert len(set(forgetful)) > 1  # negative control

    def test_a_plan_that_is_no_candidate_any_more_is_not_kept(self) -> None:
        made = choose(COSTS, batch=1, tokens=197, boards=1, previous=PRISM)
        assert made.plan == LOCAL


class TestUnprofiled:
    @pytest.mark.parametrize(("batch", "tokens"), [(9, 197), (1, 20), (1, 198)])
    def test_local_with_a_reason(self, batch: int, tokens: int) -> None:
        made = choose(COSTS, batch=batch, tokens=tokens, boards=2)
        assert made.plan == LOCAL
        assert made.predicted is None
        assert made.why.startswith("local: ")
        assert "not profiled" in made.why or "positions" in made.why

    def test_other_plans_do_not_win_by_default(self) -> None:
        """Local was not measured at batch 1, so nothing says that spreading it would be faster."""
        made = profile()
        rows = tuple(row for row in made.compute if not (row.tokens_own == 197 and row.batch == 1))
        costs = costs_of(dataclasses.replace(made, compute=rows), "net")
        decision = choose(costs, batch=1, tokens=197, boards=2)
        assert decision.plan == LOCAL
        assert Menu(costs, Aim()).dish(1, 197).plans, "nothing else could have won"

    def test_no_tables(self) -> None:
        made = Fixed("no cost tables in profiles/lab")
        assert made.plan == LOCAL
        assert made.why == "local: no cost tables in profiles/lab"

    def test_no_link(self) -> None:
        costs = costs_of(dataclasses.replace(profile(), link=()), "net")
        made = choose(costs, batch=4, tokens=197, boards=2)
        assert made.plan == LOCAL
        assert "not profiled: the link" in made.why


class TestLimits:
    def test_exact_only(self) -> None:
        made = choose(COSTS, batch=1, tokens=197, boards=2, link=link(1e9), aim=Aim(exact=True))
        assert made.plan.exact
        assert all(item.plan.exact for item in made.considered)
        assert "exact plans only" in made.why

    def test_boards_in_service(self) -> None:
        made = choose(COSTS, batch=8, tokens=197, boards=1)
        assert made.plan == LOCAL
        assert [item.plan for item in made.considered] == [LOCAL]

    def test_only_these_plans(self) -> None:
        made = choose(COSTS, batch=1, tokens=197, boards=2, plans=[PRISM])
        assert [item.plan for item in made.considered] == [LOCAL, PRISM]

    def test_a_hot_board_is_avoided(self) -> None:
        menu = Menu(COSTS, Aim())
        assert decide(menu, batch=1, tokens=197, paces=(1, 1)).plan.exchanges
        assert decide(menu, batch=1, tokens=197, paces=(1, 3)).plan == LOCAL
        assert decide(menu, batch=1, tokens=197, paces=(3, 3)).plan.exchanges  # all of them are

    def test_two_boards_of_which_one_is_slow_share_unevenly(self) -> None:
        menu = Menu(COSTS, Aim(exact=True))
        slow = decide(menu, batch=8, tokens=197, paces=(1, 2.5))
        assert slow.plan.share is not None
        assert slow.plan.share[0] > slow.plan.share[1]
        turned = decide(menu, batch=8, tokens=197, paces=(2.5, 1))
        assert turned.plan.share is not None
        assert turned.plan.share[0] < turned.plan.share[1]
        assert decide(menu, batch=8, tokens=197, paces=(1, 1)).plan.share is None

    def test_a_plan_that_takes_longer_than_predicted_is_avoided(self) -> None:
        menu = Menu(COSTS, Aim())
        plain = decide(menu, batch=1, tokens=197)
        biased = decide(menu, batch=1, tokens=197, biases={plain.plan: 2.0})
        assert biased.plan != plain.plan
        assert biased.plan == plain.runner_up.plan  # type: ignore[union-attr]
        other = Plan.parse("astra:p=2,g=32")  # of one that is no candidate it says nothing
        assert decide(menu, batch=1, tokens=197, biases={other: 9.0}).plan == plain.plan


class TestObjectives:
    costs = costs_of(profile(idle_w=2.0, busy_w=3.0), "net")

    def test_energy_and_latency_can_disagree(self) -> None:
        over = link(12e6)
        plans = [PRISM]
        by_time, by_energy = (
            choose(
                self.costs,
                batch=1,
                tokens=197,
                boards=2,
                link=over,
                plans=plans,
                aim=Aim(objective=objective),  # type: ignore[arg-type]
            )
            for objective in ("latency", "energy")
        )
        values = {
            item.plan: (item.latency_s, item.energy_j)
            for item in by_time.considered
            if isinstance(item, Prediction)
        }
        assert by_time.plan == min(values, key=lambda plan: values[plan][0])
        assert by_energy.plan == min(values, key=lambda plan: values[plan][1] or 0)

    def test_edp_is_the_product(self) -> None:
        made = choose(self.costs, batch=4, tokens=197, aim=Aim(objective="edp"))
        products = {
            item.plan: item.latency_s * (item.energy_j or 0)
            for item in made.considered
            if isinstance(item, Prediction)
        }
        assert made.plan == min(products, key=lambda plan: products[plan])
        assert re.search(r"; least edp, [\d.]+ J$", made.why)

    def test_energy_that_was_not_measured_says_so(self) -> None:
        made = choose(COSTS, batch=4, tokens=197, aim=Aim(objective="energy"))
        assert made.plan == choose(COSTS, batch=4, tokens=197, boards=2).plan
        assert "energy was not measured" in made.why


def accurate(rows: Sequence[AccuracyRow]) -> Costs:
    return costs_of(dataclasses.replace(profile(), accuracy=tuple(rows)), "net")


def scored(
    plan: str, value: float, low: float | None = None, high: float | None = None, **changes: str
) -> AccuracyRow:
    said = {"model": "net", "dataset": "flowers", "metric": "accuracy", **changes}
    return AccuracyRow(plan=plan, value=value, n=1000, ci_low=low, ci_high=high, **said)


class TestBudget:
    """How much accuracy a plan may lose, at the bad end of its interval."""

    text = str(PRISM)
    exact = scored("local", 0.90, 0.88, 0.92)

    def taken(self, rows: Sequence[AccuracyRow], limit: float | None) -> Decision:
        aim = Aim(max_accuracy_drop=limit)
        return choose(accurate(rows), batch=1, tokens=197, plans=[PRISM], aim=aim)

    def test_a_plan_that_was_never_evaluated_is_out_and_it_says_so(self) -> None:
        made = self.taken([self.exact], 0.5)
        assert made.plan == LOCAL
        (out,) = [item for item in made.considered if isinstance(item, Unpredictable)]
        assert out.plan == PRISM
        assert "its accuracy was never measured, and at most 0.5 may be lost" in out.reason
        assert "never measured" in made.why
        assert self.taken([self.exact], None).plan == PRISM  # negative control: no budget

    @pytest.mark.parametrize(("limit", "expected"), [(0.021, PRISM), (0.019, LOCAL)])
    def test_the_bad_end_of_the_interval_counts(self, limit: float, expected: Plan) -> None:
        made = self.taken([self.exact, scored(self.text, 0.895, 0.88, 0.91)], limit)
        assert made.plan == expected
        if expected == LOCAL:
            assert "its accuracy may be 0.02 lower, and at most 0.019 may be lost" in made.why

    def test_without_an_interval_the_value_does(self) -> None:
        rows = [self.exact, scored(self.text, 0.88)]
        assert self.taken(rows, 0.021).plan == PRISM
        assert self.taken(rows, 0.019).plan == LOCAL

    def test_the_worst_data_set_counts(self) -> None:
        rows = [self.exact, scored(self.text, 0.90), scored("local", 0.5, dataset="birds")]
        assert self.taken(rows, 0.01).plan == PRISM
        rows.append(scored(self.text, 0.4, dataset="birds"))
        assert self.taken(rows, 0.01).plan == LOCAL

    def test_where_less_is_better_more_is_lost(self) -> None:
        rows = [scored("local", 20.0, metric="perplexity")]
        better = scored(self.text, 19.0, 18.5, 20.5, metric="perplexity")
        assert self.taken([*rows, better], 0.6).plan == PRISM
        assert self.taken([*rows, better], 0.4).plan == LOCAL

    def test_agreement_needs_no_row_of_local(self) -> None:
        rows = [scored(self.text, 0.995, 0.99, 1.0, metric="agreement")]
        assert self.taken(rows, 0.011).plan == PRISM
        assert self.taken(rows, 0.009).plan == LOCAL

    def test_a_metric_without_its_reference_says_nothing(self) -> None:
        assert self.taken([scored(self.text, 0.99)], 0.5).plan == LOCAL

    def test_another_models_rows_say_nothing(self) -> None:
        rows = [scored("local", 0.9), scored(self.text, 0.8)]
        assert worst_drops(rows, "net") == {self.text: pytest.approx(0.1)}
        assert worst_drops(rows, "other") == {}

    def test_exact_plans_lose_nothing(self) -> None:
        aim = Aim(max_accuracy_drop=0.0)
        made = choose(COSTS, batch=4, tokens=197, aim=aim)
        assert made.plan == SPLIT
        known = [item.plan for item in made.considered if isinstance(item, Prediction)]
        assert all(plan.exact for plan in known)


class TestDeadline:
    costs = costs_of(profile(idle_w=0.5, busy_w=10.0, speeds=(1.0, 0.6)), "net")
    plans = (SPLIT, PRISM, Plan.parse("voltage:p=2"))

    def taken(self, left_s: float | None, aim: Aim | None = None) -> Decision:
        return choose(
            self.costs, batch=4, tokens=197, left_s=left_s, aim=aim or Aim(), plans=self.plans
        )

    def known(self) -> list[Prediction]:
        return [item for item in self.taken(None).considered if isinstance(item, Prediction)]

    def test_the_least_energy_among_those_in_time(self) -> None:
        """From no hurry to one that only the fastest meets: never more energy than needed."""
        aim, taken = Aim(objective="energy"), set()
        for left_s in sorted({item.high_s * 1.001 for item in self.known()}):
            in_time = [item for item in self.known() if item.high_s <= left_s]
            made = self.taken(left_s, aim)
            assert made.plan == min(in_time, key=lambda item: item.energy_j or 0).plan
            assert "no plan is sure" not in made.why
            taken.add(made.plan)
        assert len(taken) > 1, "the deadline decided nothing"

    def test_when_all_may_be_late_the_fastest_is_taken_and_it_says_so(self) -> None:
        fastest = min(self.known(), key=lambda item: item.latency_s)
        for left_s in (0.0, -1.0, 0.9 * fastest.latency_s):
            made = self.taken(left_s, Aim(objective="energy"))
            assert made.plan == fastest.plan
            assert f"no plan is sure to take less than the {left_s:.3g} s that are left" in made.why

    def test_it_is_the_high_end_that_must_be_in_time(self) -> None:
        fastest = min(self.known(), key=lambda item: item.latency_s)
        assert "no plan is sure" in self.taken(0.99 * fastest.high_s).why
        assert "no plan is sure" not in self.taken(1.01 * fastest.high_s).why

    def test_the_plan_before_is_not_kept_when_it_would_be_late(self) -> None:
        costs, aim = COSTS, Aim(hysteresis=0.9)
        found = [
            item
            for item in choose(costs, batch=4, tokens=197).considered
            if isinstance(item, Prediction)
        ]
        ordered = sorted(found, key=lambda item: item.high_s)
        first, last = ordered[0], ordered[-1]
        left_s = (first.high_s + last.high_s) / 2
        late, free = (
            choose(costs, batch=4, tokens=197, previous=last.plan, left_s=left, aim=aim).plan
            for left in (left_s, None)
        )
        assert free == last.plan  # negative control: without a deadline it is kept
        assert late != last.plan

    def test_a_deadline_far_away_changes_nothing(self) -> None:
        for objective in ("latency", "energy", "edp"):
            aim = Aim(objective=objective)  # type: ignore[arg-type]
            assert self.taken(1e9, aim).why == self.taken(None, aim).why


@pytest.mark.parametrize("objective", ["latency", "energy", "edp"])
@pytest.mark.parametrize("batch", [1, 2, 4, 8])
def test_the_least_of_what_is_aimed_at_is_taken(objective: str, batch: int) -> None:
    costs = costs_of(profile(idle_w=2.0, busy_w=3.0, speeds=(1.0, 0.7)), "net")
    for rate in (1e6, 1e7, 1e8):
        made = choose(
            costs,
            batch=batch,
            tokens=197,
            link=link(rate),
            aim=Aim(objective=objective),  # type: ignore[arg-type]
        )

        def value(item: Prediction) -> float:
            assert item.energy_j is not None
            by_name = {"latency": item.latency_s, "energy": item.energy_j}
            return by_name.get(objective, item.latency_s * item.energy_j)

        known = [item for item in made.considered if isinstance(item, Prediction)]
        assert made.predicted is not None
        assert value(made.predicted) == pytest.approx(min(map(value, known)))
        assert made.runner_up is not None
        assert made.margin == pytest.approx(value(made.runner_up) / value(made.predicted) - 1)
        assert value(made.runner_up) == pytest.approx(sorted(map(value, known))[1])


class TestCandidates:
    def test_the_usual_ones(self) -> None:
        texts = [str(plan) for plan in candidates(VIT, 2, 197, 2, (1, 10))]
        assert texts == [
            "local",
            "split:p=2",
            "prism:p=2,l=1,dtype=fp32",
            "prism:p=2,l=1,dtype=fp16",
            "prism:p=2,l=10,dtype=fp32",
            "prism:p=2,l=10,dtype=fp16",
            "voltage:p=2,dtype=fp32",
            "voltage:p=2,dtype=fp16",
        ]

    def test_a_batch_of_one_is_not_split(self) -> None:
        assert SPLIT not in candidates(VIT, 1, 197, 2)
        assert SPLIT in candidates(VIT, 2, 197, 2)

    @pytest.mark.parametrize("shape", [VIT, BERT, GPT2])
    @pytest.mark.parametrize("boards", [1, 2, 5, 8, 12])
    def test_they_all_fit(self, shape: object, boards: int) -> None:
        assert isinstance(shape, type(VIT))
        for tokens in (4, 20, 197):
            found = candidates(shape, 3, tokens, boards)
            assert found[0] == LOCAL
            assert len(set(found)) == len(found)
            for plan in found:
                check_fits(plan, shape, 3, tokens, boards)


def test_a_decision_carries_everything_compared() -> None:
    made = choose(COSTS, batch=4, tokens=197, boards=2)
    assert made.predicted in made.considered
    assert made.runner_up in made.considered
    assert made.margin is not None
    assert made.margin >= 0
    assert len(made.considered) == len(candidates(VIT, 4, 197, 2, COSTS.segments(197)))
    assert not any(isinstance(item, Unpredictable) for item in made.considered)
