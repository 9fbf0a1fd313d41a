"""The plan to take: the cheapest candidate by the tables, kept while nothing is clearly better."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np

from prism_edge.plan import LOCAL, Plan
from prism_edge.schedule.accuracy import budget_text, too_inaccurate
from prism_edge.schedule.candidates import USUAL_SEGMENTS, candidates
from prism_edge.schedule.cost import Costs, Prediction, Unpredictable
from prism_edge.schedule.events import Aim, Objective
from prism_edge.schedule.explain import explain
from prism_edge.schedule.link import LinkState
from prism_edge.schedule.panel import Floats, Panel
from prism_edge.schedule.work import Work

KEPT = 256  # sizes of batches laid out at a time; a text model may be asked for any length

_K = TypeVar("_K")
_V = TypeVar("_V")


@dataclass(frozen=True, slots=True)
class Dish:
    """Everything about one (batch, tokens) that no link changes: plans, their works, and who is
    out for which reason. The first plan is local, unless it is out."""

    plans: tuple[Plan, ...]
    works: tuple[Work, ...]
    panel: Panel
    out: tuple[Unpredictable, ...]
    index: Mapping[Plan, int]
    bands: Floats


class Menu:
    """What may be chosen on some boards, by batch and tokens; each is laid out once.

    ``plans``: only these besides local; None: ``candidates``. Plans that ``aim`` forbids are out.
    """

    def __init__(self, costs: Costs, aim: Aim, plans: Sequence[Plan] | None = None) -> None:
        self.costs = costs
        self.aim = aim.of(costs.model)
        self._plans = None if plans is None else tuple(plans)
        self._dishes: dict[tuple[int, int], Dish] = {}

    def dish(self, batch: int, tokens: int) -> Dish:
        """The plans for a batch of that many samples of that many tokens."""
        return kept(self._dishes, (batch, tokens), lambda: self._laid_out(batch, tokens))

    def _laid_out(self, batch: int, tokens: int) -> Dish:
        costs, boards = self.costs, len(self.costs.boards)
        wanted: Iterable[Plan]
        if self._plans is None:
            segments = costs.segments(tokens) or USUAL_SEGMENTS
            wanted = candidates(costs.shape, batch, tokens, boards, segments)
        else:
            wanted = (LOCAL, *(plan for plan in self._plans if plan != LOCAL))
        plans, works, out = [], [], []
        for plan in wanted:
            if plan.p > boards or (self.aim.exact and not plan.exact):
                continue
            limit = self.aim.max_accuracy_drop
            reason: Work | str | None = too_inaccurate(plan, costs.drops, limit)
            work = reason or costs.work(plan, batch, tokens)
            if isinstance(work, str):
                out.append(Unpredictable(plan=plan, reason=work))
            else:
                plans.append(plan)
                works.append(work)
        pairs = sorted(zip(plans, works, strict=True), key=lambda pair: _preference(*pair))
        return Dish(
            plans=tuple(plan for plan, _ in pairs),
            works=tuple(work for _, work in pairs),
            panel=costs.panel([work for _, work in pairs]),
            out=tuple(out),
            index={plan: k for k, (plan, _) in enumerate(pairs)},
            bands=np.array([costs.bands.of(plan.method) for plan, _ in pairs]),
        )


class Decision:
    """The plan taken; why, in one sentence, and everything it was compared with, when asked for.

    ``margin``: how much longer the runner-up would take, as a share; negative when the plan was
    kept although another was slightly better. What explains it is worked out when it is read: a
    request need not wait for it.
    """

    def __init__(
        self,
        menu: Menu,
        dish: Dish,
        link: LinkState | None,
        terms: Floats,
        paces: Sequence[float],
        values: Floats,
        chosen: int,
        objective: Objective,
        notes: tuple[str, ...],
    ) -> None:
        self.plan = dish.plans[chosen]
        self.link = link
        self._menu, self._dish, self._paces = menu, dish, paces
        self._terms, self._values, self._chosen = terms, values, chosen
        self._objective, self._notes = objective, notes

    @cached_property
    def predicted(self) -> Prediction | None:
        return self._prediction(self._chosen)

    @cached_property
    def runner_up(self) -> Prediction | None:
        return None if self._second is None else self._prediction(self._second)

    @cached_property
    def margin(self) -> float | None:
        if self._second is None:
            return None
        return float(self._values[self._second] / self._values[self._chosen]) - 1

    @cached_property
    def _second(self) -> int | None:
        """The best of the others that may be taken; plans that would be late have no value."""
        others = self._values.copy()
        others[self._chosen] = np.inf
        second = int(np.argmin(others))
        return second if np.isfinite(others[second]) else None

    @cached_property
    def _energies(self) -> Floats | None:
        return _energies(self._menu.costs, self._dish, self._terms, self._paces)

    @cached_property
    def considered(self) -> tuple[Prediction | Unpredictable, ...]:
        """Local first; plans that could not be predicted, or may not be used, last."""
        known = [self._prediction(k) for k in range(len(self._dish.plans))]
        return (*known, *self._dish.out)

    @cached_property
    def why(self) -> str:
        chosen = self._prediction(self._chosen)
        text = explain(chosen, self.considered, self.link, self.runner_up)
        best = int(np.argmin(self._values))
        if best != self._chosen:
            less = 1 - self._values[best] / self._values[self._chosen]
            text += f"; kept, because {self._dish.plans[best]} would take only {100 * less:.0f} % "
            text += "less"
        if self._objective != "latency":
            text += f"; least {self._objective}, {chosen.energy_j:.3g} J"
        limit = self._menu.aim.max_accuracy_drop
        if limit is not None:
            plans = [item.plan for item in self.considered]
            text += f"; {budget_text(self.plan, plans, self._menu.costs.drops, limit)}"
        return "; ".join((text, *self._notes))

    def _prediction(self, k: int) -> Prediction:
        energy_j = None if self._energies is None else float(self._energies[k])
        return self._menu.costs.prediction(
            self._dish.plans[k], self._dish.works[k], self.link, self._terms[:, k], energy_j
        )


class Fixed(Decision):
    """A decision that needed no comparing: local, because there is nothing to decide by."""

    def __init__(self, reason: str, considered: tuple[Unpredictable, ...] = ()) -> None:
        self.plan = LOCAL
        self.link = None
        self.predicted = self.runner_up = self.margin = None
        self.considered = considered
        self.why = f"local: {reason}"


def decide(
    menu: Menu,
    *,
    batch: int,
    tokens: int,
    link: LinkState | None = None,
    previous: Plan | None = None,
    left_s: float | None = None,
    paces: Sequence[float] | None = None,
    biases: Mapping[Plan, float] | None = None,
) -> Decision:
    """The candidate with the least of what is aimed at; ``previous`` unless that is clearly beaten.

    ``link``: as it is now, left out as it was measured. ``left_s``: plans of which more than one in
    twenty requests would be later are taken only when all would. ``paces``: by rank, how many times
    its measured computing a board takes now. ``biases``: how many times its prediction a plan takes
    now. Nothing is guessed: what was not profiled is not chosen, and without ``local`` there is
    nothing to compare with.
    """
    costs, aim = menu.costs, menu.aim
    link = costs.link if link is None else link
    dish = menu.dish(batch, tokens)
    if not dish.plans or dish.plans[0] != LOCAL:
        reason = next((item.reason for item in dish.out if item.plan == LOCAL), "not profiled")
        return Fixed(f"{reason}; run `prism-edge profile` to measure it", dish.out)
    paces = paces or (1.0,) * len(costs.cells)
    terms = dish.panel.terms(link, paces)
    for plan, bias in (biases or {}).items():
        if plan in dish.index:
            terms[:, dish.index[plan]] *= bias
    values = latency_s = terms.sum(axis=0)
    notes: tuple[str, ...] = ()
    objective = aim.objective
    if objective != "latency":
        energies = _energies(costs, dish, terms, paces)
        if energies is None:
            notes += ("by latency, because energy was not measured",)
            objective = "latency"
        else:
            values = energies * latency_s if objective == "edp" else energies
    if left_s is not None:
        late = latency_s * (1 + costs.errors(dish.bands, link, terms)) > left_s
        if late.all():
            notes += (f"no plan is sure to take less than the {left_s:.3g} s that are left",)
            values, objective = latency_s, "latency"
        elif late.any():
            values = np.where(late, np.inf, values)
    chosen = best = int(np.argmin(values))  # of equal ones the first, which is preferred
    kept = None if previous is None else dish.index.get(previous)
    if kept is not None and values[best] >= values[kept] * (1 - aim.hysteresis):
        chosen = kept
    if aim.exact:
        notes += ("exact plans only",)
    return Decision(menu, dish, link, terms, paces, values, chosen, objective, notes)


def _energies(costs: Costs, dish: Dish, terms: Floats, paces: Sequence[float]) -> Floats | None:
    return costs.energies(terms.sum(axis=0), dish.panel.busy(paces))


def choose(
    costs: Costs,
    *,
    batch: int,
    tokens: int,
    boards: int | None = None,
    link: LinkState | None = None,
    previous: Plan | None = None,
    aim: Aim | None = None,
    plans: Sequence[Plan] | None = None,
    left_s: float | None = None,
) -> Decision:
    """``decide`` once, on the first ``boards`` boards; None: all of them."""
    names = [board.name for board in costs.boards]
    menu = Menu(costs if boards is None else costs.ranked(names[:boards]), aim or Aim(), plans)
    return decide(menu, batch=batch, tokens=tokens, link=link, previous=previous, left_s=left_s)


def kept(cache: dict[_K, _V], key: _K, make: Callable[[], _V]) -> _V:
    """What ``cache`` holds, made where it is missing; the oldest goes when there are too many."""
    if key not in cache:
        cache[key] = make()
        if len(cache) > KEPT:
            cache.pop(next(iter(cache)))
    return cache[key]


def _preference(plan: Plan, work: Work) -> tuple[int, int, str]:
    """Among equals: local, then split, then the fewest bytes."""
    methods = {"local": 0, "split": 1}
    return methods.get(plan.method, 2), work.wire_bytes, str(plan)
