"""The decision at every batch and link rate, with how far ahead and how sure it is. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import pairwise

from prism_edge.errors import TableError
from prism_edge.plan import Plan
from prism_edge.schedule.cost import Costs
from prism_edge.schedule.events import Aim
from prism_edge.schedule.link import PAYLOAD_SHARE
from prism_edge.schedule.policy import Decision, Menu, decide

BANDS_PER_DECADE = 16
BELOW, ABOVE = 50, 5  # how far around the profiled rate the map reaches, to whole decades
BEYOND = 1.5  # times the largest measured batch
MOST_BATCHES = 32  # columns; of more batches some are left out
USUAL_BPS = 100e6  # the middle of the map where the profiled rate is not known


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """One situation. ``margin``: how much longer the runner-up would take, as a share.

    ``plan`` is None where nothing can be predicted. ``certain``: the intervals of the best two lie
    apart. ``extrapolated``: what was not measured had to be guessed.
    """

    batch: int
    rate_bps: float
    plan: Plan | None
    latency_s: float | None
    low_s: float | None
    high_s: float | None
    runner_up: Plan | None
    runner_up_s: float | None
    margin: float | None
    certain: bool
    extrapolated: bool

    @property
    def doubtful(self) -> bool:
        """Not certain although all of it was measured; what was not is never certain."""
        return self.plan is not None and not self.certain and not self.extrapolated


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """``spots[k][i]``: in band k of rates, lowest first, the i-th of ``batches``.

    Band k reaches from ``edges_bps[k]`` to ``edges_bps[k + 1]``; its spot is in the middle.
    ``profiled_bps``: the nominal rate that was measured, None when it is not known; ``given_bps``:
    one that was asked about.
    """

    batches: tuple[int, ...]
    measured: frozenset[int]
    edges_bps: tuple[float, ...]
    profiled_bps: float | None
    given_bps: float | None
    spots: tuple[tuple[Spot, ...], ...]

    @property
    def plans(self) -> tuple[Plan, ...]:
        """Every chosen plan: the one that holds most of the map first."""
        chosen = [spot.plan for row in self.spots for spot in row if spot.plan is not None]
        return tuple(sorted(set(chosen), key=lambda plan: (-chosen.count(plan), str(plan))))

    @property
    def ticks_bps(self) -> tuple[float, ...]:
        """1, 2, 5, 10 ... within the map."""
        low, high = self.edges_bps[0], self.edges_bps[-1]
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        rates = (digit * 10.0**decade for decade in decades for digit in (1, 2, 5))
        return tuple(bps for bps in rates if 0.999 * low <= bps <= 1.001 * high)

    def height(self, rate_bps: float) -> float:
        """Bands from the bottom of the map to a rate."""
        return BANDS_PER_DECADE * math.log10(rate_bps / self.edges_bps[0])


def grid(
    costs: Costs,
    aim: Aim,
    *,
    tokens: int,
    measured: Collection[int],
    given_bps: float | None = None,
) -> Grid:
    """The map of ``costs``. ``measured``: batches that were. A model that
    was not measured has the columns of the one it is scaled from. ``given_bps``: a nominal
    rate that must be on it.

    Beyond what was measured, where a daemon would answer locally, times are guessed and the spot
    says so. Raises ``TableError`` without a link.
    """
    if costs.links is None:
        raise TableError("no link was profiled, so there is no map over link rates")
    profiled_bps = costs.links.state.bandwidth_bps / PAYLOAD_SHARE
    known = math.isfinite(profiled_bps)
    middle_bps = profiled_bps if known else USUAL_BPS
    edges_bps = bands(middle_bps, given_bps or middle_bps)
    batches = columns(measured)
    menu, guess = Menu(costs, aim), Menu(replace(costs, imagined=True), aim)
    rows = []
    for low_bps, high_bps in pairwise(edges_bps):
        rate_bps = math.sqrt(low_bps * high_bps)
        link = costs.links.given(rate_bps)
        row = []
        for batch in batches:
            decision = decide(menu, batch=batch, tokens=tokens, link=link)
            guessed = decision.predicted is None
            if guessed:
                decision = decide(guess, batch=batch, tokens=tokens, link=link)
            row.append(_spot(decision, batch, rate_bps, guessed))
        rows.append(tuple(row))
    if not any(spot.plan for row in rows for spot in row):
        raise TableError("nothing can be predicted from this profile: no computing was measured")
    return Grid(
        batches=batches,
        measured=frozenset() if costs.cells[0].foreign else frozenset(measured),
        edges_bps=edges_bps,
        profiled_bps=profiled_bps if known else None,
        given_bps=given_bps,
        spots=tuple(rows),
    )


def bands(middle_bps: float, also_bps: float) -> tuple[float, ...]:
    """Edges of equal bands on a logarithmic scale, over whole decades around ``middle_bps``, and as
    many more as hold ``also_bps``."""
    low, high = min(middle_bps / BELOW, also_bps), max(middle_bps * ABOVE, also_bps)
    first = math.floor(math.log10(low) + 1e-9) * BANDS_PER_DECADE
    last = math.ceil(math.log10(high) - 1e-9) * BANDS_PER_DECADE
    return tuple(10 ** (k / BANDS_PER_DECADE) for k in range(first, last + 1))


def columns(measured: Collection[int]) -> tuple[int, ...]:
    """Batches of the map: every one up to somewhat beyond the largest measured; some of many."""
    last = math.ceil(BEYOND * max(measured, default=1))
    if last <= MOST_BATCHES:
        return tuple(range(1, last + 1))
    steps = {round(last ** (k / (MOST_BATCHES - 1))) for k in range(MOST_BATCHES)}
    return tuple(sorted(steps | set(measured)))


def _spot(decision: Decision, batch: int, rate_bps: float, guessed: bool) -> Spot:
    best, other = decision.predicted, decision.runner_up
    both = [found for found in (best, other) if found is not None]
    return Spot(
        batch=batch,
        rate_bps=rate_bps,
        plan=None if best is None else best.plan,
        latency_s=None if best is None else best.latency_s,
        low_s=None if best is None else best.low_s,
        high_s=None if best is None else best.high_s,
        runner_up=None if other is None else other.plan,
        runner_up_s=None if other is None else other.latency_s,
        margin=decision.margin,
        certain=best is not None and (other is None or best.high_s < other.low_s),
        extrapolated=guessed or any(found.extrapolated for found in both),
    )
