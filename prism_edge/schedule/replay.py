"""What was decided then beside what is decided now, from the same events. Pure.

A policy's life reaches from its start to the next one: each begins with nothing but the tables, so
what happened in one life says nothing about another. Within a life every event counts: behind one
that cannot be read nothing is replayed, because the policy of then knew what it said.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from prism_edge.energy.rows import DecisionRow
from prism_edge.errors import JournalError, PrismError, TableError
from prism_edge.schedule.adapt import Adaptive
from prism_edge.schedule.cost import Costs, costs_of
from prism_edge.schedule.events import Asked, Event, Started, from_json
from prism_edge.schedule.link import LinkState
from prism_edge.tables import Profile

FIRST = 10  # differences of either sort that a life keeps whole; the others are counted
# What a row that was edited by hand makes a policy stumble over.
STUMBLES = (PrismError, ArithmeticError, LookupError, TypeError, ValueError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One decision that is another one now, or has other reasons. ``link``: as it was believed to
    be when asked."""

    row: int
    t_s: float
    asked: Asked
    link: LinkState | None
    recorded_plan: str | None
    recorded_why: str | None
    replayed_plan: str
    replayed_why: str

    @property
    def plan_differs(self) -> bool:
        return self.recorded_plan != self.replayed_plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """From ``row`` on, ``decisions`` were recorded that cannot be replayed, and why not."""

    row: int
    reason: str
    decisions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One start and what followed. ``started``: None when the journal begins after it.

    ``other_plan``: decisions replayed of which the plan differs; ``other_why``: only the reason.
    ``recorded`` and ``replayed``: how often each plan was taken, in the decisions replayed.
    """

    row: int
    t_s: float
    started: Started | None
    decisions: int
    other_plan: int
    other_why: int
    differences: tuple[Difference, ...]
    gaps: tuple[Gap, ...]
    recorded: Mapping[str, int]
    replayed: Mapping[str, int]


def replay(rows: Iterable[tuple[int, DecisionRow]], costs: Mapping[str, Costs]) -> Iterator[Life]:
    """Every life in ``rows`` (number, row), replayed over ``costs``, in the order they began."""
    life: _Living | None = None
    for number, row in rows:
        try:
            event = _event(row)
        except JournalError as error:
            life = life or _Living(number, row.t_s, None, costs)
            life.hole(number, row, str(error))
            continue
        if isinstance(event, Started):
            if life is not None:
                yield life.ended()
            life = _Living(number, row.t_s, event, costs)
            continue
        life = life or _Living(number, row.t_s, None, costs)
        life.take(number, row, event)
    if life is not None:
        yield life.ended()


def costs_by_model(profile: Profile) -> dict[str, Costs]:
    """The costs of every model that is decided about by these tables."""
    found = {}
    for entry in profile.models:
        with contextlib.suppress(TableError):  # measured in several dtypes: answered locally
            found[entry.name] = costs_of(profile, entry.name)
    return found


def _event(row: DecisionRow) -> Event:
    """The event of a row. Raises ``JournalError`` when it and the decision do not go together."""
    event = from_json(row.event)
    if isinstance(event, Asked) != (row.plan is not None):
        raise JournalError("a decision without a question, or a question without its decision")
    return event


class _Living:
    """A life under way: the policy, fed event by event, and what came out."""

    def __init__(
        self, number: int, t_s: float, started: Started | None, costs: Mapping[str, Costs]
    ) -> None:
        self._row = number
        self._t_s = t_s
        self._started = started
        self._policy = None if started is None else Adaptive(costs, started.aim)
        self._blind = "the journal begins after the start" if started is None else None
        self._differences: list[Difference] = []
        self._different = {True: 0, False: 0}  # by whether the plan differs
        self._gaps: dict[str, tuple[int, int]] = {}  # by reason: where it began, decisions lost
        self._recorded: Counter[str] = Counter()
        self._replayed: Counter[str] = Counter()

    def hole(self, number: int, row: DecisionRow, reason: str) -> None:
        """Nothing behind this row can be replayed in this life."""
        self._blind = self._blind or reason
        self._lost(number, row, self._blind)

    def take(self, number: int, row: DecisionRow, event: Event) -> None:
        """The policy hears ``event``; what it decides is held against what the row says."""
        if self._policy is None or self._blind is not None:
            self._lost(number, row, self._blind or "")
            return
        link = self._policy.link
        try:
            decision = self._policy.step(event)
        except STUMBLES as error:
            self.hole(number, row, str(error) if isinstance(error, PrismError) else repr(error))
            return
        if decision is None:
            return
        assert isinstance(event, Asked), "only a question is answered by a decision"
        plan = str(decision.plan)
        self._recorded[str(row.plan)] += 1
        self._replayed[plan] += 1
        if (plan, decision.why) == (row.plan, row.why):
            return
        found = Difference(
            row=number,
            t_s=row.t_s,
            asked=event,
            link=link,
            recorded_plan=row.plan,
            recorded_why=row.why,
            replayed_plan=plan,
            replayed_why=decision.why,
        )
        self._different[found.plan_differs] += 1
        if self._different[found.plan_differs] <= FIRST:
            self._differences.append(found)

    def ended(self) -> Life:
        """The life, whole."""
        return Life(
            row=self._row,
            t_s=self._t_s,
            started=self._started,
            decisions=self._recorded.total(),
            other_plan=self._different[True],
            other_why=self._different[False],
            differences=tuple(self._differences),
            gaps=tuple(
                Gap(row=first, reason=reason, decisions=lost)
                for reason, (first, lost) in self._gaps.items()
            ),
            recorded=dict(self._recorded),
            replayed=dict(self._replayed),
        )

    def _lost(self, number: int, row: DecisionRow, reason: str) -> None:
        first, lost = self._gaps.get(reason, (number, 0))
        self._gaps[reason] = (first, lost + (row.plan is not None))
