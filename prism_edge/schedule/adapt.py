"""The policy with a memory: events in, decisions out; no clock, no randomness, nothing else.

The same events give the same decisions, which is what ``plan --replay`` checks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from prism_edge.plan import Plan
from prism_edge.schedule.cost import Costs
from prism_edge.schedule.events import Aim, Answered, Asked, Event, Probed, Started
from prism_edge.schedule.link import LinkState
from prism_edge.schedule.observe import DISAGREE, Belief, LinkObserver
from prism_edge.schedule.panel import Floats
from prism_edge.schedule.policy import KEPT, Decision, Fixed, Menu, decide, kept
from prism_edge.schedule.work import Work

PACE_BAND = 1.25
PACES = (0.5, 8.0)
BIAS_BAND = 1.15
BIASES = (0.7, 2.0)
BIAS_SAMPLES = 3  # one odd request says nothing against a plan
BIAS_NOISE = (
    1.05  # a bias up to this factor is none: plans that take equally long do not take turns
)
GRID_BPS = np.geomspace(1e5, 1e11, 145)  # bandwidths a request may show, 10 % apart
LIKELY = 1.05  # a factor by which a request's time is rarely off

PaceKey = tuple[str, str]  # model, board
Size = tuple[str, tuple[str, ...], int, int]  # model, boards, batch, tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What an answered request shows: ``paces`` by board; a bandwidth, ``exact`` or the least."""

    paces: Mapping[str, float]
    bandwidth_bps: float | None
    exact: bool


class Adaptive:
    """Chooses by ``costs`` (by model) towards ``aim``, and by what answered requests have shown.

    ``plans``: only these besides local; None: all that are worth comparing.
    """

    def __init__(
        self, costs: Mapping[str, Costs], aim: Aim, plans: Sequence[Plan] | None = None
    ) -> None:
        self.costs = dict(costs)
        self.aim = aim
        self._plans = plans
        self._menus: dict[tuple[str, tuple[str, ...]], Menu] = {}
        self._lenses: dict[tuple[str, tuple[str, ...], str, int, int], Lens | None] = {}
        self._observer: LinkObserver | None = None
        self._forget()

    @property
    def link(self) -> LinkState | None:
        """The link as it is believed to be now."""
        return None if self._observer is None else self._observer.link

    def step(self, event: Event) -> Decision | None:
        """Take notice of an event; a decision for ``Asked``."""
        if isinstance(event, Asked):
            return self._decide(event)
        if isinstance(event, Answered):
            self._learn(event)
        elif isinstance(event, Probed) and self._observer is not None:
            for seconds in event.seconds:
                self._observer = self._observer.probed(event.bytes, seconds, event.now_s)
        elif isinstance(event, Started):
            self.aim = event.aim
            self._menus.clear()
            self._lenses.clear()
            self._forget()
        return None

    def probe_due(self, now_s: float, *, idle: bool = True) -> int | None:
        """Bytes to exchange now to learn the link; None when it was seen lately enough."""
        return None if self._observer is None else self._observer.probe_due(now_s, idle=idle)

    def menu(self, model: str, boards: Sequence[str]) -> Menu:
        """What may be chosen for ``model`` on these boards, by rank."""
        key = model, tuple(boards)
        if key not in self._menus:
            self._menus[key] = Menu(self.costs[model].ranked(boards), self.aim, self._plans)
        return self._menus[key]

    def paces(self, model: str, boards: Sequence[str], now_s: float) -> tuple[float, ...]:
        """By rank, how many times its measured computing a board is believed to take."""
        beliefs = (self._paces.get((model, board)) for board in boards)
        return tuple(1.0 if belief is None else belief.factor(now_s) for belief in beliefs)

    def _forget(self) -> None:
        self._paces: dict[PaceKey, Belief] = {}
        self._biases: dict[Size, dict[Plan, Belief]] = {}
        self._previous: dict[Size, Plan] = {}
        self._observer = None
        for costs in self.costs.values():
            if costs.link is not None and self._observer is None:
                ways = 2 if costs.links is not None and costs.links.half_duplex else 1
                self._observer = LinkObserver(base=costs.link, ways=ways)

    def _decide(self, event: Asked) -> Decision:
        if event.model not in self.costs:
            return Fixed(f"model {event.model!r} was not profiled")
        key = event.model, event.boards, event.batch, event.tokens
        decision = decide(
            self.menu(event.model, event.boards),
            batch=event.batch,
            tokens=event.tokens,
            link=self.link,
            previous=self._previous.get(key),
            left_s=event.left_s,
            paces=self.paces(event.model, event.boards, event.now_s),
            biases=self._bias(key, event.now_s),
        )
        self._previous[key] = decision.plan
        if len(self._previous) > KEPT:
            self._previous.pop(next(iter(self._previous)))
        return decision

    def _bias(self, size: Size, now_s: float) -> dict[Plan, float]:
        return {
            plan: _beyond(belief.factor(now_s, BIAS_SAMPLES), BIAS_NOISE)
            for plan, belief in self._biases.get(size, {}).items()
        }

    def _learn(self, event: Answered) -> None:
        lens = self._lens(event)
        if lens is None or event.engine_s <= 0:
            return
        seen = lens.shows(event, self.paces(event.model, event.boards, event.now_s), self.link)
        for board, pace in seen.paces.items():
            before = self._paces.get((event.model, board), Belief(band=PACE_BAND, samples=(1.0,)))
            self._paces[event.model, board] = before.see(_within(pace, PACES), event.now_s)
        if self._observer is not None and seen.bandwidth_bps is not None:
            self._observer = self._observer.observe(
                seen.bandwidth_bps, exact=seen.exact, now_s=event.now_s
            )
        paces = self.paces(event.model, event.boards, event.now_s)
        ratio = _within(event.engine_s / lens.expected_s(self.link, paces), BIASES)
        size = event.model, event.boards, event.batch, event.tokens
        biases = kept(self._biases, size, dict)
        before = biases.get(lens.plan, Belief(band=BIAS_BAND))
        biases[lens.plan] = before.see(ratio, event.now_s)

    def _lens(self, event: Answered) -> Lens | None:
        """What an answer is looked at through; None when the tables say nothing about it."""
        if event.model not in self.costs:
            return None
        key = event.model, event.boards, event.plan, event.batch, event.tokens
        return kept(self._lenses, key, lambda: self._new_lens(event))

    def _new_lens(self, event: Answered) -> Lens | None:
        costs, plan = self.menu(event.model, event.boards).costs, Plan.parse(event.plan)
        work = costs.work(plan, event.batch, event.tokens)
        return None if isinstance(work, str) else Lens(costs, plan, work)


class Lens:
    """One work over every bandwidth of the grid, ready to be compared with what a request took."""

    def __init__(self, costs: Costs, plan: Plan, work: Work) -> None:
        self.plan, self.work = plan, work
        self._panel = costs.panel([work])
        extra = costs.overheads
        self._extra_s = extra.request_s + extra.exchange_s * work.exchanges
        self._extra_s += extra.byte_s * work.exchanged_bytes
        self._grid = None if plan.p == 1 else costs.panel([work] * len(GRID_BPS))
        self._beta = np.repeat(8 / GRID_BPS, len(work.parts))

    def expected_s(self, link: LinkState | None, paces: Sequence[float]) -> float:
        """Seconds over ``link``."""
        return float(self._panel.terms(link, paces).sum())

    def shows(self, event: Answered, believed: Sequence[float], link: LinkState | None) -> Seen:
        """How fast boards and link were, given how long every rank computed and the whole took.

        A board's pace is its own computing against the table's; processor time that overheads
        explain is no part of it, wherever they were spent. The bandwidth is the one at which
        the model, with these paces, takes as long as the request did; when quite another one would
        explain nearly that time too, the request only shows that the link is not much slower.
        """
        paces, shown = list(believed), {}
        for rank, busy_s in enumerate(_busy_s(event)[: len(self.work.computes)]):
            if busy_s > 0:
                mid_s = self.work.computes[rank].mid_s
                explained_s = _within(busy_s, (mid_s, mid_s + self._extra_s))
                paces[rank] = shown[event.boards[rank]] = busy_s / explained_s
        if self._grid is None or link is None:
            return Seen(paces=shown, bandwidth_bps=None, exact=False)
        grid_s = self._grid.at(link.alpha_s, self._beta, paces).sum(axis=0)
        least, found, most = (
            _where(grid_s, share * event.engine_s) for share in (LIKELY, 1, 1 / LIKELY)
        )
        if least < GRID_BPS[-1] and most / least <= DISAGREE**2:
            return Seen(paces=shown, bandwidth_bps=found, exact=True)
        at_least = _where(grid_s, LIKELY**2 * event.engine_s)
        known = at_least if at_least < GRID_BPS[-1] else None  # too fast for any link: the model's
        return Seen(paces=shown, bandwidth_bps=known, exact=False)


def _busy_s(event: Answered) -> list[float]:
    """Seconds that each rank computed; 0 where nobody knows."""
    leader_s = event.engine_s - event.total_s("wait", "scatter", "gather")
    return [leader_s, *(0.0 if effort is None else effort[0] for effort in event.efforts)]


def _where(grid_s: Floats, seconds: float) -> float:
    """The bandwidth of the grid at which a request takes that long; its ends where none does."""
    return float(np.exp(np.interp(-seconds, -grid_s, np.log(GRID_BPS))))


def _beyond(factor: float, noise: float) -> float:
    """What is left of a factor when noise explains as much of it as it can."""
    return max(1.0, factor / noise) if factor > 1 else min(1.0, factor * noise)


def _within(value: float, bounds: tuple[float, float]) -> float:
    return min(max(value, bounds[0]), bounds[1])
