"""A trace answered by everyone: per request all contestants in random order, so ratios are paired.

A static plan that does not fit a request is answered locally. One that takes several times as long
as the fastest is run in every fourth request of the situation only.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from prism_edge.bench.arena import Arena
from prism_edge.bench.player import Player, Turn
from prism_edge.bench.trace import Request, Situation, Trace
from prism_edge.errors import PlanError
from prism_edge.layout import ModelShape, batch_shares, check_fits
from prism_edge.plan import LOCAL, Plan

SLOW = 3.0  # times as long as the fastest: then it is run less often
EVERY = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer: the plan that gave it, seconds in the leader's engine, joules of all boards."""

    plan: str
    latency_s: float
    energy_j: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One request of the trace and all its answers.

    ``at_s``: on the player's clock, since the situation began. ``link_bps``, ``predicted_s``: what
    the player believed of the link and of its plan. ``late_s``: deciding, and waiting
    for the end of a probe; ``extra_j``: waiting and probes. ``static``: by the plan that was meant,
    without those that were left out.
    """

    situation: int
    model: str
    batch: int
    at_s: float
    decide_s: float
    late_s: float
    extra_j: float
    link_bps: float | None
    predicted_s: float | None
    adaptive: Answer
    static: Mapping[str, Answer]


@dataclass(slots=True)
class Sparing:
    """Which plans are worth running in this request of a situation, for one model; local always
    is, because it stands in for others."""

    left: dict[str, int] = field(default_factory=dict)  # requests to leave out

    def due(self, plan: str) -> bool:
        return self.left.get(plan, 0) == 0

    def note(self, seconds: Mapping[str, float]) -> None:
        """``seconds`` of every contestant that ran in a request."""
        self.left = {plan: count - 1 for plan, count in self.left.items() if count > 0}
        fastest_s = min(seconds.values())
        self.left |= {
            plan: EVERY - 1
            for plan, took_s in seconds.items()
            if took_s > SLOW * fastest_s and plan != str(LOCAL)
        }


def play(
    trace: Trace,
    arena: Arena,
    player: Player,
    plans: Sequence[Plan],
    within: Callable[[Situation], AbstractContextManager[None]],
    seed: int,
) -> Iterator[Round]:
    """Every request of the trace, answered. ``plans``: local first. ``within``: makes it true."""
    source = random.Random(f"{seed}/orders")
    for number, situation in enumerate(trace):
        sparing: dict[str, Sparing] = defaultdict(Sparing)
        began_s = player.now_s
        with within(situation):
            for request in situation.requests:
                waited_s, probes_j = player.rest(request.gap_s)
                at_s = player.now_s - began_s
                turn, static = _answers(
                    arena, player, plans, request, sparing[request.model], source
                )
                yield Round(
                    situation=number,
                    model=request.model,
                    batch=request.batch,
                    at_s=at_s,
                    decide_s=turn.decide_s,
                    late_s=waited_s + turn.decide_s,
                    extra_j=probes_j + arena.idle_j(waited_s + turn.decide_s),
                    link_bps=turn.link_bps,
                    predicted_s=turn.predicted_s,
                    adaptive=Answer(
                        plan=str(turn.plan),
                        latency_s=turn.reply.engine_s,
                        energy_j=turn.reply.energy_j,
                    ),
                    static=static,
                )


def _answers(
    arena: Arena,
    player: Player,
    plans: Sequence[Plan],
    request: Request,
    sparing: Sparing,
    source: random.Random,
) -> tuple[Turn, dict[str, Answer]]:
    model, batch = request.model, request.batch
    shape, tokens = arena.shape(model), arena.tokens(model)
    fitting = [plan for plan in plans if fits(plan, shape, batch, tokens, arena.boards)]
    order: list[Plan | None] = [None, *(plan for plan in fitting if sparing.due(str(plan)))]
    source.shuffle(order)
    turn: Turn | None = None
    found: dict[str, Answer] = {}
    for plan in order:
        if plan is None:
            turn = player.answer(request)
            continue
        reply = arena.run(model, batch, plan)
        found[str(plan)] = Answer(plan=str(plan), latency_s=reply.engine_s, energy_j=reply.energy_j)
    assert turn is not None
    sparing.note({plan: answer.latency_s for plan, answer in found.items()})
    found |= {str(plan): found[str(LOCAL)] for plan in plans if plan not in fitting}
    return turn, found


def fits(plan: Plan, shape: ModelShape, batch: int, tokens: int, boards: int) -> bool:
    """The plan can answer the request, and every board has something to do."""
    try:
        check_fits(plan, shape, batch, tokens, boards)
    except PlanError:
        return False
    return 0 not in batch_shares(plan, batch)
