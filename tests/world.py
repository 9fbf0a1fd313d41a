"""A cluster made of arithmetic that changes under a policy's feet, on a clock of its own.

What a request really takes is the cost model's own formula at the link and paces that are true at
that moment, times seeded noise: what the policy does not know are those, and when they change.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from prism_edge.plan import Plan
from prism_edge.schedule.adapt import Adaptive
from prism_edge.schedule.cost import Costs
from prism_edge.schedule.events import Aim, Answered, Asked, Probed
from prism_edge.schedule.link import LinkState
from prism_edge.schedule.policy import Decision, Menu, decide

LOOK_S = 0.25  # how often an idle leader asks whether to probe


@dataclass(kw_only=True)
class Turn:
    """One request: when, what was decided, what it took. ``meant_s``: what it would have taken
    without noise, ``best_s``: under the best plan. ``link_bps``: as it was believed to be then."""

    now_s: float
    decision: Decision
    took_s: float
    meant_s: float
    best_s: float
    link_bps: float

    @property
    def plan(self) -> Plan:
        return self.decision.plan


@dataclass(kw_only=True)
class World:
    """``rate_bps`` and ``paces``: what is true at a time. ``noise``: of every computing and every
    probe, a share, half as much of what is left; ``odd``: every so many requests one takes three
    times as long. ``efforts``: whether workers say how long they computed. ``busy_overheads``: the
    model's overheads are computing, not waiting."""

    costs: Costs
    aim: Aim = field(default_factory=Aim)
    plans: Sequence[Plan] | None = None
    rate_bps: Callable[[float], float]
    paces: Callable[[float], tuple[float, ...]] = lambda now_s: (1.0, 1.0)
    noise: float = 0.0
    odd: int = 0
    efforts: bool = True
    busy_overheads: bool = False
    seed: int = 0
    now_s: float = 0.0
    turns: list[Turn] = field(default_factory=list)
    probes_s: float = 0.0
    policy: Adaptive = field(init=False)

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)
        self.policy = Adaptive({self.costs.model: self.costs}, self.aim, self.plans)
        self._menu = Menu(self.costs, self.aim, self.plans)

    def link(self) -> LinkState:
        """The link as it truly is."""
        assert self.costs.link is not None
        return LinkState(
            alpha_s=self.costs.link.alpha_s,
            bandwidth_bps=self.rate_bps(self.now_s),
            source="given",
            burst_bytes=self.costs.link.burst_bytes,
        )

    def run(
        self, until_s: float, batches: Sequence[int] = (1,), gap_s: float = 0.0, tokens: int = 197
    ) -> list[Turn]:
        """Requests one after another, each ``gap_s`` after the answer to the one before."""
        first = len(self.turns)
        while self.now_s < until_s:
            self.ask(batches[len(self.turns) % len(batches)], tokens)
            self.idle(gap_s)
        return self.turns[first:]

    def ask(self, batch: int, tokens: int = 197, plan: Plan | None = None) -> Turn:
        """One request, answered as the policy decides, or under ``plan``."""
        boards = tuple(board.name for board in self.costs.boards)
        asked = Asked(
            now_s=self.now_s, model=self.costs.model, batch=batch, tokens=tokens, boards=boards
        )
        decision = self.policy.step(asked)
        assert decision is not None
        best = decide(
            self._menu, batch=batch, tokens=tokens, link=self.link(), paces=self.paces(self.now_s)
        )
        assert best.predicted is not None
        plan = plan or decision.plan
        meant_s, _ = self._truth(plan, batch, tokens, 0.0)
        took_s, busy_s = self._truth(plan, batch, tokens, self.noise)
        if self.odd and len(self.turns) % self.odd == self.odd - 1:
            took_s *= 3
        turn = Turn(
            now_s=self.now_s,
            decision=decision,
            took_s=took_s,
            meant_s=meant_s,
            best_s=best.predicted.latency_s,
            link_bps=self.policy.link.bandwidth_bps if self.policy.link else 0.0,
        )
        self.turns.append(turn)
        self.now_s += took_s
        known = self.efforts
        self.policy.step(
            Answered(
                now_s=self.now_s,
                model=self.costs.model,
                plan=str(plan),
                batch=batch,
                tokens=tokens,
                boards=boards,
                engine_s=took_s,
                spans=(("wait", 0.0, took_s - busy_s[0], 0),),
                efforts=tuple((s, took_s - s) if known else None for s in busy_s[1:]),
            )
        )
        return turn

    def idle(self, seconds: float) -> None:
        """Time in which nobody asks; the leader probes when that is due, as it does when busy."""
        self._probe(idle=seconds > 0)
        until_s = self.now_s + seconds
        while self.now_s < until_s:
            if not self._probe(idle=True):
                self.now_s = min(until_s, self.now_s + LOOK_S)

    def _probe(self, *, idle: bool) -> bool:
        size = self.policy.probe_due(self.now_s, idle=idle)
        if size is None:
            return False
        assert self.costs.links is not None
        ways = 2 if self.costs.links.half_duplex else 1
        took_s = self.link().exchange_s(ways * size) * self._noisy(self.noise)
        self.now_s += took_s
        self.probes_s += took_s
        self.policy.step(Probed(now_s=self.now_s, bytes=size, seconds=(took_s,)))
        return True

    def _truth(
        self, plan: Plan, batch: int, tokens: int, noise: float
    ) -> tuple[float, list[float]]:
        """What a request takes, and how long each rank computes."""
        work = self.costs.work(plan, batch, tokens)
        assert not isinstance(work, str), work
        paces = [pace * self._noisy(noise) for pace in self.paces(self.now_s)]
        terms = self.costs.panel([work]).terms(self.link(), paces)
        extra = self.costs.overheads
        extra_s = extra.exchange_s * work.exchanges + extra.byte_s * work.exchanged_bytes
        busy_s = [
            spread.mid_s * pace + (extra_s if self.busy_overheads else 0.0)
            for spread, pace in zip(work.computes, paces, strict=False)
        ]
        return max(float(terms.sum()) * self._noisy(noise / 2), busy_s[0]), busy_s

    def _noisy(self, share: float) -> float:
        return self._rng.lognormvariate(0, share) if share else 1.0


def switches(turns: Sequence[Turn]) -> int:
    """How often another plan was taken than for the request before."""
    return sum(a.plan != b.plan for a, b in pairwise(turns))
