"""The adaptive contestant: the policy as the daemon drives it, on a clock of its own.

Its clock is the sum of its gaps, probes, decisions and answers: while others answer, it stands
still. So it sees the trace as if it were alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from prism_edge.bench.arena import Exchange, Reply
from prism_edge.bench.trace import Request
from prism_edge.plan import Plan
from prism_edge.schedule.events import Answered, Asked, Event, Probed, Started
from prism_edge.schedule.link import LinkState
from prism_edge.schedule.policy import Decision

LOOK_S = 0.25  # an idle daemon asks this often whether a probe is due


class Mind(Protocol):
    """What decides: ``schedule.adapt.Adaptive``."""

    def step(self, event: Event) -> Decision | None: ...

    def probe_due(self, now_s: float, *, idle: bool) -> int | None: ...

    @property
    def link(self) -> LinkState | None: ...


class Field(Protocol):
    """Where it acts: an ``Arena``."""

    def run(self, model: str, batch: int, plan: Plan) -> Reply: ...

    def probe(self, size: int) -> Exchange: ...

    def tokens(self, model: str) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One request answered. ``link_bps``: as believed when it was asked; ``predicted_s``: what the
    plan was expected to take; None where nothing was known."""

    plan: Plan
    reply: Reply
    decide_s: float
    link_bps: float | None
    predicted_s: float | None


class Player:
    """``events``: all that the mind was told, in order."""

    def __init__(
        self,
        mind: Mind,
        field: Field,
        started: Started,
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._mind = mind
        self._field = field
        self._boards = started.boards
        self._clock = clock
        self.events: list[Event] = []
        self.now_s = started.now_s
        self._tell(started)

    def rest(self, gap_s: float) -> tuple[float, float]:
        """Time in which nobody asks, with the probes that are due; seconds beyond the gap, and
        joules of the probes.

        After every answer a probe may be due, whether somebody waits or not; a request that arrives
        during a probe waits for its end. Both are as at the daemon.
        """
        end_s = self.now_s + gap_s
        energy_j = self._probe(idle=False) or 0.0
        while self.now_s < end_s:
            probe_j = self._probe(idle=True)
            if probe_j is None:
                self.now_s = min(end_s, self.now_s + LOOK_S)
            else:
                energy_j += probe_j
        return self.now_s - end_s, energy_j

    def answer(self, request: Request) -> Turn:
        """Decide and answer; what was seen meanwhile is told to the mind."""
        tokens = self._field.tokens(request.model)
        asked = Asked(
            now_s=self.now_s,
            model=request.model,
            batch=request.batch,
            tokens=tokens,
            boards=self._boards,
        )
        start_s = self._clock()
        decision = self._tell(asked)
        decide_s = self._clock() - start_s
        assert decision is not None
        link, predicted = self._mind.link, decision.predicted
        reply = self._field.run(request.model, request.batch, decision.plan)
        self.now_s += decide_s + reply.engine_s
        self._tell(
            Answered(
                now_s=self.now_s,
                model=request.model,
                plan=str(decision.plan),
                batch=request.batch,
                tokens=tokens,
                boards=self._boards,
                engine_s=reply.engine_s,
                spans=reply.spans,
                efforts=reply.efforts,
            )
        )
        return Turn(
            plan=decision.plan,
            reply=reply,
            decide_s=decide_s,
            link_bps=None if link is None else link.bandwidth_bps,
            predicted_s=None if predicted is None else predicted.latency_s,
        )

    def _probe(self, *, idle: bool) -> float | None:
        """The joules of a probe; None when none was due."""
        size = self._mind.probe_due(self.now_s, idle=idle)
        if size is None:
            return None
        probe = self._field.probe(size)
        self.now_s += probe.took_s
        self._tell(Probed(now_s=self.now_s, bytes=size, seconds=probe.seconds))
        return probe.energy_j

    def _tell(self, event: Event) -> Decision | None:
        self.events.append(event)
        return self._mind.step(event)
