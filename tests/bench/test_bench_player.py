"""The player lives on its own clock: gaps, probes, decisions and answers, nothing else."""

from __future__ import annotations

import itertools

import measured
import pytest

from prism_edge.bench.arena import Exchange, Reply
from prism_edge.bench.deciding import CANDIDATES, many_plans, time_decisions
from prism_edge.bench.player import Player
from prism_edge.bench.trace import Request
from prism_edge.plan import LOCAL, Plan
from prism_edge.schedule.adapt import Adaptive
from prism_edge.schedule.cost import costs_of
from prism_edge.schedule.events import Aim, Answered, Asked, Probed, Started

BOARDS = ("edge-1", "edge-2")
PLANS = [LOCAL, *map(Plan.parse, ("split:p=2", "prism:p=2,l=10,dtype=fp16"))]
STARTED = Started(now_s=0.0, aim=Aim(), profile="0", boards=BOARDS)
ANSWER_S, PROBE_S = 0.5, 0.4


class Stage:
    """Answers everything in the same time."""

    def __init__(self, exchange_s: float = 0.02) -> None:
        self.exchange_s = exchange_s
        self.ran: list[tuple[str, int, Plan]] = []
        self.probed: list[int] = []

    def run(self, model: str, batch: int, plan: Plan) -> Reply:
        self.ran.append((model, batch, plan))
        return Reply(engine_s=ANSWER_S, spans=(), efforts=(), energy_j=1.0)

    def probe(self, size: int) -> Exchange:
        self.probed.append(size)
        return Exchange(seconds=(self.exchange_s,), took_s=PROBE_S, energy_j=0.25)

    def tokens(self, model: str) -> int:
        return 197


def mind(plans: list[Plan] | None = None, bandwidth_bps: float = 100e6) -> Adaptive:
    profile = measured.profile(bandwidth_bps=bandwidth_bps)
    return Adaptive({"net": costs_of(profile, "net")}, Aim(), plans or PLANS)


def ticking() -> float:
    """A clock that moves a millisecond a look."""
    return next(_TICKS) * 1e-3


_TICKS = itertools.count()


def ask(batch: int) -> Request:
    return Request(model="net", batch=batch, gap_s=0.0)


def test_time_is_what_its_own_decisions_and_answers_take() -> None:
    stage = Stage()
    player = Player(mind(), stage, STARTED, clock=ticking)
    turn = player.answer(ask(4))
    assert turn.decide_s == pytest.approx(1e-3)
    assert player.now_s == pytest.approx(ANSWER_S + 1e-3)
    assert stage.ran == [("net", 4, turn.plan)]
    assert turn.plan in PLANS
    assert turn.predicted_s is not None
    assert turn.link_bps is not None
    started, asked, answered = player.events
    assert started == STARTED
    assert isinstance(asked, Asked)
    assert (asked.now_s, asked.batch, asked.boards) == (0.0, 4, BOARDS)
    assert isinstance(answered, Answered)
    assert (answered.now_s, answered.plan) == (player.now_s, str(turn.plan))


def test_a_pause_is_used_for_probes_and_is_not_longer_for_it() -> None:
    stage = Stage()
    player = Player(mind(), stage, STARTED)
    assert player.rest(30.0) == (0.0, pytest.approx(0.25 * len(stage.probed)))
    assert player.now_s == pytest.approx(30.0)
    assert 5 < len(stage.probed) < 30
    assert all(isinstance(event, Probed) for event in player.events[1:])


def test_a_request_waits_for_the_probe_it_meets() -> None:
    stage = Stage()
    player = Player(mind(), stage, STARTED)
    waited_s, energy_j = player.rest(0.1)  # nothing was ever seen of the link: a probe at once
    assert (waited_s, energy_j) == (pytest.approx(PROBE_S - 0.1), 0.25)
    assert player.now_s == pytest.approx(PROBE_S)


def test_under_load_probes_are_run_too_and_requests_wait_for_them() -> None:
    stage = Stage(exchange_s=0.022)  # as profiled: nothing to confirm
    player = Player(mind(), stage, STARTED)
    waited_s = energy_j = 0.0
    for _ in range(40):
        late_s, probes_j = player.rest(0.0)
        assert late_s in (pytest.approx(0.0), pytest.approx(PROBE_S))
        waited_s, energy_j = waited_s + late_s, energy_j + probes_j
        player.answer(ask(1))
    assert len(stage.probed) > 5
    assert waited_s == pytest.approx(PROBE_S * len(stage.probed))
    assert energy_j == pytest.approx(0.25 * len(stage.probed))


@pytest.mark.parametrize(("gap_s", "probes"), [(0.0, 1), (0.1, 2)])
def test_a_slow_link_is_probed_less_often_under_load_than_in_pauses(
    gap_s: float, probes: int
) -> None:
    stage = Stage(exchange_s=0.132)
    player = Player(mind(bandwidth_bps=1e6), stage, STARTED)
    player.rest(0.0)  # nothing was ever seen of the link
    for _ in range(4):
        player.answer(ask(1))
    assert 1.5 < player.now_s - PROBE_S < 0.132 / 0.05
    player.rest(gap_s)
    assert len(stage.probed) == probes


def test_the_same_events_give_the_same_plans() -> None:
    stage = Stage()
    player = Player(mind(), stage, STARTED)
    for batch in (1, 4, 8, 3, 4):
        player.rest(1.0)
        player.answer(ask(batch))
    again = mind()
    decided = [decision for event in player.events if (decision := again.step(event)) is not None]
    assert [decision.plan for decision in decided] == [plan for _, _, plan in stage.ran]


def test_decisions_are_timed_with_many_candidates() -> None:
    shape = measured.VIT
    many = many_plans(shape, 197, 2)
    assert len(set(many)) == len(many) == CANDIDATES == 40
    assert len(many_plans(shape, 197, 1)) == 1
    player = Player(mind(), Stage(), STARTED)
    player.answer(ask(4))
    player.rest(2.0)
    player.answer(ask(2))
    timing = time_decisions(mind(many), player.events, decisions=25)
    assert timing is not None
    assert timing.decisions == 26  # whole passes
    assert 30 < timing.candidates <= CANDIDATES
    assert 0 < timing.choose_median_s <= timing.choose_p99_s
    assert time_decisions(mind(many), [STARTED]) is None
