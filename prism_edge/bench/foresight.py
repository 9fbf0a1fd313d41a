"""What the cost model said of cells that were not profiled, against what they took. Pure.

The true link rate is given and nothing seen online is used: this judges tables and formulas alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from prism_edge.bench.contest import Round
from prism_edge.bench.score import answers
from prism_edge.bench.trace import Trace
from prism_edge.plan import Plan

RUNS = 2  # a cell with fewer answers has no median worth comparing
SHARE = 0.9  # of requests that an interval is said to hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A prediction: seconds, and the interval said to hold 90 % of requests."""

    latency_s: float
    low_s: float
    high_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Foretold:
    """One cell that was not profiled, all situations with this rate together; no rate for a plan
    of one board, which uses no link."""

    rate_bps: float | None
    model: str
    batch: int
    plan: str
    told: Told
    seconds: tuple[float, ...]

    @property
    def error(self) -> float:
        """Relative error of the predicted latency; positive: predicted too slow."""
        return self.told.latency_s / median(self.seconds) - 1

    @property
    def covered(self) -> float:
        """The share of answers within the interval."""
        return self.inside / len(self.seconds)

    @property
    def inside(self) -> int:
        """Answers within the interval."""
        return sum(self.told.low_s <= took_s <= self.told.high_s for took_s in self.seconds)


Rate = float | None  # rate_bps
Foretell = Callable[[str, Plan, int, Rate], Told | None]  # model, plan, batch


def foretold(
    rounds: Iterable[Round],
    trace: Trace,
    foretell: Foretell,
    profiled: Callable[[str, Plan, int, Rate], bool],
) -> list[Foretold]:
    """Every cell without slowed boards that was not profiled and can be predicted."""
    seconds: dict[tuple[str, int, str, Rate], list[float]] = defaultdict(list)
    for one in rounds:
        situation = trace[one.situation]
        if situation.slowed == 0:
            for answer in answers(one):
                rate_bps = None if Plan.parse(answer.plan).p == 1 else situation.rate_bps
                seconds[one.model, one.batch, answer.plan, rate_bps].append(answer.latency_s)
    found = []
    for (model, batch, text, rate_bps), times in sorted(seconds.items(), key=_order):
        plan = Plan.parse(text)
        told = foretell(model, plan, batch, rate_bps)
        if len(times) >= RUNS and told is not None and not profiled(model, plan, batch, rate_bps):
            found.append(
                Foretold(
                    rate_bps=rate_bps,
                    model=model,
                    batch=batch,
                    plan=text,
                    told=told,
                    seconds=tuple(times),
                )
            )
    return found


def _order(item: tuple[tuple[str, int, str, Rate], object]) -> tuple[float, str, int, str]:
    model, batch, plan, rate_bps = item[0]
    return rate_bps or 0.0, model, batch, plan


def summary(cells: Sequence[Foretold]) -> dict[str, object]:
    """Errors and coverage, every cell counting once; by plan too. JSON values.

    ``answer_coverage``: of single answers. Cells that come often count more in it, and those are
    the easy ones: local's is one cell at all rates.
    """
    by_plan: dict[str, list[Foretold]] = defaultdict(list)
    for cell in cells:
        by_plan[cell.plan].append(cell)
    plans = {plan: _figures(found) for plan, found in by_plan.items()}
    return {**_figures(cells), "stated": SHARE, "least_answers": RUNS, "by_plan": plans}


def _figures(cells: Sequence[Foretold]) -> Mapping[str, object]:
    errors = [abs(cell.error) for cell in cells]
    count = sum(len(cell.seconds) for cell in cells)
    return {
        "cells": len(cells),
        "answers": count,
        "median_error": float(np.median(errors)) if cells else None,
        "p90_error": float(np.quantile(errors, 0.9)) if cells else None,
        "median_signed": float(np.median([cell.error for cell in cells])) if cells else None,
        "coverage": float(np.mean([cell.covered for cell in cells])) if cells else None,
        "answer_coverage": sum(cell.inside for cell in cells) / count if cells else None,
    }
