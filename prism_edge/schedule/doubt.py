"""Where more repeats would help most: cells on which a decision hangs that could go either way."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from statistics import NormalDist, median, stdev

from prism_edge.schedule.cost import Costs, Prediction, costs_of
from prism_edge.schedule.events import Aim
from prism_edge.schedule.link import PAYLOAD_SHARE
from prism_edge.schedule.policy import Menu, decide
from prism_edge.tables import ComputeRow, Profile

RATES = (0.1, 0.3, 1.0, 3.0)  # of the measured bandwidth: decisions are wanted on worse links too
EVEN = 1.2533  # standard error of a median over that of a mean, for many normal samples
RIVALS = 3  # plans next to the best that may still be the best

Cell = tuple[str, int, int, int]  # model, batch, own tokens, known tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """A compute cell and its ``share`` of all doubt about decisions."""

    model: str
    batch: int
    tokens_own: int
    tokens_known: int
    share: float


def doubts(profile: Profile) -> list[Doubt]:
    """The compute cells most in need of more repeats, most first; none where nothing is in doubt.

    For every measured batch and a few link rates: the chance that a rival beats the chosen plan,
    given how well the medians of their cells are known, times what that would cost, is laid to the
    charge of those cells, in proportion to their variance.
    """
    errors = _errors(profile)
    blame: dict[Cell, float] = defaultdict(float)
    for entry in profile.models:
        rows = [row for row in profile.compute if row.model == entry.name]
        if not rows:
            continue
        costs = costs_of(profile, entry.name, dtype=rows[0].dtype)
        menu = Menu(costs, Aim())
        longest = max(row.tokens_known for row in rows)
        for batch in sorted({row.batch for row in rows}):
            for rate in RATES:
                _lay_blame(blame, errors, menu, costs, batch, longest, rate)
    total = sum(blame.values())
    found = [
        Doubt(model=model, batch=batch, tokens_own=own, tokens_known=known, share=value / total)
        for (model, batch, own, known), value in blame.items()
        if value > 0
    ]
    return sorted(found, key=lambda doubt: -doubt.share)


def _lay_blame(
    blame: dict[Cell, float],
    errors: dict[Cell, float],
    menu: Menu,
    costs: Costs,
    batch: int,
    tokens: int,
    rate: float,
) -> None:
    link = None
    if costs.links is not None and math.isfinite(costs.links.exchange.bandwidth_bps):
        link = costs.links.given(rate * costs.links.exchange.bandwidth_bps / PAYLOAD_SHARE)
    decision = decide(menu, batch=batch, tokens=tokens, link=link)
    predicted = [item for item in decision.considered if isinstance(item, Prediction)]
    ranking = sorted(predicted, key=lambda item: item.latency_s)
    for rival in ranking[1 : 1 + RIVALS]:
        best = ranking[0]
        seconds_by: dict[Cell, float] = defaultdict(float)  # what both compute cannot part them
        for sign, item in ((1.0, rival), (-1.0, best)):
            for part in item.work.parts:
                for (own, known, share), spread in zip(part.cells, part.computes, strict=True):
                    cell = costs.model, share, own, known
                    if cell in errors:
                        seconds_by[cell] += sign * spread.mid_s
        cells = {cell: errors[cell] * seconds for cell, seconds in seconds_by.items()}
        error_s = math.sqrt(sum(value**2 for value in cells.values()))
        if error_s == 0:
            continue
        gap_s = rival.latency_s - best.latency_s
        chance = 1 - NormalDist(0, error_s).cdf(gap_s)
        for cell, value in cells.items():
            blame[cell] += chance * (value / error_s) ** 2 * error_s


def _errors(profile: Profile) -> dict[Cell, float]:
    """Standard error of every cell's median, as a share of it; the worst board's."""
    repeats: dict[tuple[str, Cell], list[float]] = defaultdict(list)
    for row in profile.compute:
        repeats[row.board, _cell(row)].append(row.latency_s)
    errors: dict[Cell, float] = {}
    for (_, cell), values in repeats.items():
        middle = median(values)
        spread = stdev(values) if len(values) > 1 else middle
        error = EVEN * spread / math.sqrt(len(values)) / middle
        errors[cell] = max(error, errors.get(cell, 0.0))
    return errors


def _cell(row: ComputeRow) -> Cell:
    return row.model, row.batch, row.tokens_own, row.tokens_known
