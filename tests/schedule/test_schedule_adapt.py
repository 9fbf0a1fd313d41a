"""The policy in a closed loop with a cluster that changes: it follows, is not fooled, and is calm.

Nothing here takes real time: the cluster is arithmetic with seeded noise, on a clock of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from statistics import median

import pytest
from measured import profile
from world import Turn, World, switches

from prism_edge.plan import LOCAL, Plan
from prism_edge.schedule.adapt import Adaptive
from prism_edge.schedule.cost import costs_of
from prism_edge.schedule.events import Aim, Answered, Asked, Probed, Started
from prism_edge.schedule.observe import FADE_S
from prism_edge.schedule.panel import Overheads
from prism_edge.schedule.work import Work

BOTH = ("edge-1", "edge-2")
COSTS = costs_of(profile(batches=(1, 2, 4, 8), segments=(10,)), "net")
BAD = 1.15  # a request that takes so many times what the best plan would is answered badly
STEP_S = 15.0


def world(
    rate_bps: float | Callable[[float], float] = 100e6,
    paces: Callable[[float], tuple[float, ...]] = lambda now_s: (1.0, 1.0),
    *,
    aim: Aim | None = None,
    noise: float = 0.04,
    odd: int = 0,
    efforts: bool = True,
    seed: int = 0,
) -> World:
    return World(
        costs=COSTS,
        aim=aim or Aim(),
        rate_bps=rate_bps if callable(rate_bps) else lambda now_s: rate_bps,
        paces=paces,
        noise=noise,
        odd=odd,
        efforts=efforts,
        seed=seed,
    )


def slow_worker(
    begin_s: float, end_s: float, pace: float = 2.0
) -> Callable[[float], tuple[float, ...]]:
    return lambda now_s: (1.0, pace if begin_s <= now_s < end_s else 1.0)


def badly(turns: Sequence[Turn]) -> list[Turn]:
    """The requests whose plan truly takes clearly longer than the best one does, noise aside."""
    return [turn for turn in turns if turn.meant_s > BAD * turn.best_s]


class TestSteps:
    @pytest.mark.parametrize("gap_s", [0.0, 0.5])
    @pytest.mark.parametrize("batch", [1, 4])
    @pytest.mark.parametrize(
        ("before_bps", "after_bps"),
        [(100e6, 2e6), (2e6, 100e6), (100e6, 10e6), (10e6, 100e6), (1e9, 5e6), (5e6, 1e9)],
    )
    def test_a_link_step_is_followed_within_3_requests_or_2_s(
        self, before_bps: float, after_bps: float, batch: int, gap_s: float
    ) -> None:
        for seed in range(2):
            made = world(lambda now_s: before_bps if now_s < STEP_S else after_bps, seed=seed)
            settled = made.run(STEP_S, (batch,), gap_s)
            assert not badly(settled[-5:])
            after = made.run(STEP_S + 15, (batch,), gap_s)
            late = [turn for turn in after[3:] if turn.now_s > after[0].now_s + 2]
            assert not badly(late)

    def test_a_policy_that_hears_nothing_does_not_follow(self) -> None:
        """Negative control: the same world, answers and probes not told."""
        made = world(lambda now_s: 100e6 if now_s < STEP_S else 2e6)
        deaf = made.policy.step
        made.policy.step = lambda event: deaf(event) if isinstance(event, Asked) else None  # type: ignore[method-assign]
        made.run(STEP_S, (1,), 0.3)
        after = made.run(STEP_S + 30, (1,), 0.3)
        assert len(badly(after)) == len(after)

    def test_a_ramp_is_followed(self) -> None:
        """From 100 to 2 Mbit/s and back within two minutes."""
        made = world(lambda now_s: 100e6 * 0.02 ** (1 - abs(now_s - 60) / 60 if now_s < 120 else 0))
        turns = made.run(120, (1, 4), 0.3)
        assert len({turn.plan for turn in turns}) > 2
        assert len(badly(turns)) <= 0.1 * len(turns)
        assert sum(turn.meant_s for turn in turns) <= 1.05 * sum(turn.best_s for turn in turns)


class TestSlowBoards:
    @pytest.mark.parametrize("rate_bps", [20e6, 100e6])
    @pytest.mark.parametrize("gap_s", [0.0, 0.3])
    @pytest.mark.parametrize(("batch", "expected"), [(1, "local"), (4, "share"), (8, "share")])
    def test_a_slow_worker_is_no_slow_link(
        self, batch: int, expected: str, gap_s: float, rate_bps: float
    ) -> None:
        for seed in range(2):
            made = world(rate_bps, slow_worker(20, 1e9, 2.5), seed=seed)
            made.run(20, (batch,), gap_s)
            after = made.run(60, (batch,), gap_s)
            settled = after[3:]
            usual = max((turn.plan for turn in settled), key=[t.plan for t in settled].count)
            assert usual == LOCAL if expected == "local" else usual.share is not None
            assert all(turn.link_bps == pytest.approx(rate_bps, rel=0.25) for turn in settled)
            assert not badly(settled[:8])

    def test_without_efforts_it_is_mistaken_for_one(self) -> None:
        """Negative control: the same world, with workers that do not say how long they compute."""
        made = world(100e6, slow_worker(20, 1e9, 2.5), efforts=False)
        made.run(20, (4,))
        after = made.run(60, (4,))
        assert min(turn.link_bps for turn in after) < 100e6 / 5
        assert made.policy.paces("net", BOTH, made.now_s)[1] == 1.0

    def test_a_slow_leader_hands_its_work_away(self) -> None:
        made = world(100e6, lambda now_s: (1.0 if now_s < 20 else 2.5, 1.0))
        made.run(20, (8,), 0.3)
        after = made.run(80, (8,), 0.3)
        shares = [turn.plan.share for turn in after[3:] if turn.plan.share is not None]
        assert len(shares) > len(after) / 2
        assert all(share[0] < share[1] for share in shares)

    def test_a_worker_that_is_free_again_is_found_by_a_retry(self) -> None:
        made = world(20e6, slow_worker(20, 60, 3.0))
        made.run(60, (1,), 0.3)
        after = made.run(60 + 8 * FADE_S, (1,), 0.3)
        found = next(k for k, turn in enumerate(after) if turn.plan.p > 1)
        assert after[found].now_s < 60 + 3 * FADE_S
        assert not badly(after[found + 3 :])

    def test_retries_of_a_worker_that_stays_slow_become_rarer_and_cost_little(self) -> None:
        made = world(20e6, slow_worker(20, 1e9, 3.0))
        made.run(20, (1,), 0.3)
        after = made.run(1800, (1,), 0.3)[3:]
        tried = [turn.now_s for turn in after if turn.plan.p > 1]
        pauses = [b - a for a, b in pairwise(tried) if b - a > FADE_S / 4]
        assert len(pauses) >= 3
        assert pauses[-1] > 3 * pauses[0]
        assert len(tried) <= 0.01 * len(after)
        assert sum(turn.meant_s for turn in after) <= 1.01 * sum(turn.best_s for turn in after)

    @pytest.mark.parametrize("text", ["split:p=3", "prism:p=3,l=10,dtype=fp16"])
    def test_of_several_boards_the_slow_one_is_known(self, text: str) -> None:
        three = costs_of(profile(boards=3, batches=(1, 2, 6)), "net")
        made = World(
            costs=three,
            rate_bps=lambda now_s: 20e6,
            paces=lambda now_s: (1.0, 1.0, 2.5),
            noise=0.03,
        )
        for _ in range(8):
            made.ask(6, plan=Plan.parse(text))
        boards = [board.name for board in three.boards]
        found = made.policy.paces("net", boards, made.now_s)
        assert found == pytest.approx((1.0, 1.0, 2.5), rel=0.06)
        assert made.policy.link is not None
        assert made.policy.link.bandwidth_bps > 20e6 / 1.2  # at least: a slow board hides transfers

    def test_a_worker_that_flickers_is_not_tried_for_ever(self) -> None:
        """Slow for 5 s, free for 5 s: what it costs is bounded though no belief can be right."""
        made = world(100e6, lambda now_s: (1.0, 3.0 if int(now_s / 5) % 2 else 1.0))
        turns = made.run(400, (1,), 0.3)
        local_s = sum(COSTS.work(LOCAL, 1, 197).computes[0].mid_s for _ in turns)  # type: ignore[union-attr]
        assert sum(turn.meant_s for turn in turns) <= 1.15 * local_s


class TestCalm:
    @pytest.mark.parametrize("batches", [(1,), (1, 2, 4, 8)])
    @pytest.mark.parametrize("rate_bps", [2e6, 100e6])
    def test_at_most_one_switch_in_a_hundred_requests(
        self, rate_bps: float, batches: tuple[int, ...]
    ) -> None:
        """At 5 % noise, with every 97th request taking three times as long."""
        made = world(rate_bps, noise=0.05, odd=97)
        while len(made.turns) < 1000:
            made.run(made.now_s + 10, batches, 0.3)
        turns = made.turns[:1000]
        by_batch = [turns[k :: len(batches)] for k in range(len(batches))]
        assert sum(map(switches, by_batch)) <= 10

    def test_without_hysteresis_it_is_restless(self) -> None:
        """Negative control, where two plans take about equally long."""

        def restless(hysteresis: float) -> int:
            made = world(10e6, noise=0.05, aim=Aim(hysteresis=hysteresis))
            while len(made.turns) < 500:
                made.run(made.now_s + 10, (1,), 0.3)
            return switches(made.turns[:500])

        assert restless(0.0) > 3 * max(1, restless(0.05))


@pytest.mark.parametrize("text", ["split:p=2", "prism:p=2,l=10,dtype=fp16", "voltage:p=2"])
@pytest.mark.parametrize("rate_bps", [1e6, 3e6, 10e6])
@pytest.mark.parametrize("half", [False, True])
def test_the_bandwidth_is_seen_through_every_plan(text: str, rate_bps: float, half: bool) -> None:
    """Without a single probe, from a table of another rate, boards as slow as they may be."""
    costs = costs_of(profile(half_duplex=half), "net")
    made = World(
        costs=costs,
        plans=[Plan.parse(text)],
        rate_bps=lambda now_s: rate_bps,
        paces=lambda now_s: (0.8, 1.2),
        noise=0.03,
    )
    for _ in range(30):
        made.ask(4, plan=Plan.parse(text))
    seen = [turn.link_bps for turn in made.turns[3:]]
    assert median(seen) == pytest.approx(rate_bps, rel=0.15)
    assert made.probes_s == 0


@pytest.mark.parametrize("busy_overheads", [False, True])
@pytest.mark.parametrize("batch", [1, 8])
def test_overheads_make_no_board_slow_wherever_they_are_spent(
    batch: int, busy_overheads: bool
) -> None:
    """A sixth of a request at batch 1; neither boards nor the link are to blame."""
    extra = Overheads(request_s=0.002, exchange_s=0.003, byte_s=5e-9)
    plan = Plan.parse("prism:p=2,l=10,dtype=fp16")
    made = World(
        costs=replace(COSTS, overheads=extra),
        rate_bps=lambda now_s: 20e6,
        noise=0.03,
        busy_overheads=busy_overheads,
    )
    for _ in range(30):
        made.ask(batch, plan=plan)
    assert made.policy.paces("net", BOTH, made.now_s) == pytest.approx((1.0, 1.0), abs=0.06)
    assert median(turn.link_bps for turn in made.turns[3:]) == pytest.approx(20e6, rel=0.15)


def test_a_request_faster_than_any_link_says_nothing_about_the_link() -> None:
    """The model was too pessimistic about something; that makes no link of 100 Gbit/s."""
    policy = Adaptive({"net": COSTS}, Aim())
    work = COSTS.work(Plan.parse("prism:p=2,l=10,dtype=fp16"), 1, 197)
    assert isinstance(work, Work)
    for now_s in range(9):
        policy.step(
            Answered(
                now_s=float(now_s),
                model="net",
                plan="prism:p=2,l=10,dtype=fp16",
                batch=1,
                tokens=197,
                boards=BOTH,
                engine_s=0.8 * work.computes[0].mid_s,
                efforts=((work.computes[1].mid_s, 0.0),),
                spans=(("wait", 0.0, -0.2 * work.computes[0].mid_s, 0),),
            )
        )
    assert policy.link == COSTS.link


class TestWhatIsHeard:
    def asked(self, now_s: float = 0.0, **changes: object) -> Asked:
        values = {"now_s": now_s, "model": "net", "batch": 1, "tokens": 197, "boards": BOTH}
        return Asked(**{**values, **changes})  # type: ignore[arg-type]

    def test_only_a_question_has_an_answer(self) -> None:
        policy = Adaptive({"net": COSTS}, Aim())
        assert policy.step(Started(now_s=0.0, aim=Aim(), profile="d", boards=BOTH)) is None
        assert policy.step(Probed(now_s=0.0, bytes=65536, seconds=(0.01,))) is None
        assert policy.step(self.asked()) is not None

    def test_a_start_forgets_everything_and_aims_anew(self) -> None:
        policy = Adaptive({"net": COSTS}, Aim())
        fresh = policy.step(self.asked())
        for now_s in (1.0, 1.1, 1.2):
            policy.step(Probed(now_s=now_s, bytes=65536, seconds=(9.0,)))
        assert policy.link is not None
        assert policy.link.source == "observed"
        assert policy.step(self.asked()).plan == LOCAL  # type: ignore[union-attr]
        policy.step(Started(now_s=2.0, aim=Aim(), profile="d", boards=BOTH))
        again = policy.step(self.asked())
        assert fresh is not None
        assert again is not None
        assert (again.plan, again.why) == (fresh.plan, fresh.why)
        assert policy.link.source == "table"
        policy.step(Started(now_s=2.0, aim=Aim(exact=True), profile="d", boards=BOTH))
        assert policy.step(self.asked()).plan.exact  # type: ignore[union-attr]

    def test_a_model_without_tables_is_answered_locally(self) -> None:
        decision = Adaptive({"net": COSTS}, Aim()).step(self.asked(model="bert"))
        assert decision is not None
        assert decision.plan == LOCAL
        assert "model 'bert' was not profiled" in decision.why

    @pytest.mark.parametrize(
        "changes",
        [
            {"model": "bert"},
            {"plan": "astra:p=2,g=32"},
            {"plan": "split:p=2"},
            {"batch": 64},
            {"engine_s": 0.0},
        ],
    )
    def test_an_answer_that_the_tables_say_nothing_about_teaches_nothing(
        self, changes: dict[str, object]
    ) -> None:
        policy = Adaptive({"net": COSTS}, Aim())
        before = policy.step(self.asked())
        values = {
            "now_s": 1.0,
            "model": "net",
            "plan": "prism:p=2,l=10,dtype=fp16",
            "batch": 1,
            "tokens": 197,
            "boards": BOTH,
            "engine_s": 9.0,
        }
        for _ in range(5):
            policy.step(Answered(**{**values, **changes}))  # type: ignore[arg-type]
        after = policy.step(self.asked(2.0))
        assert before is not None
        assert after is not None
        assert (after.plan, after.why) == (before.plan, before.why)
        for _ in range(5):
            policy.step(Answered(**values))  # type: ignore[arg-type]  # negative control
        assert policy.step(self.asked(2.0)).why != before.why  # type: ignore[union-attr]

    def test_the_order_of_boards_is_that_of_the_ranks(self) -> None:
        """What is known of a board stays with it when it takes another rank."""
        policy = Adaptive({"net": COSTS}, Aim())
        for now_s in (1.0, 2.0, 3.0):
            policy.step(
                Answered(
                    now_s=now_s,
                    model="net",
                    plan="local",
                    batch=1,
                    tokens=197,
                    boards=("edge-2",),
                    engine_s=2 * COSTS.work(LOCAL, 1, 197).computes[0].mid_s,  # type: ignore[union-attr]
                )
            )
        assert policy.paces("net", BOTH, 3.0) == pytest.approx((1.0, 2.0))
        assert policy.paces("net", BOTH[::-1], 3.0) == pytest.approx((2.0, 1.0))

    def test_the_same_events_give_the_same_decisions_and_reasons(self) -> None:
        def days() -> list[tuple[Plan, str]]:
            made = world(lambda now_s: 100e6 if now_s < 20 else 3e6, slow_worker(30, 60), seed=7)
            return [(turn.plan, turn.decision.why) for turn in made.run(80, (1, 4, 8), 0.2)]

        assert days() == days()
        assert len({plan for plan, _ in days()}) > 2
