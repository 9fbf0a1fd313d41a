"""What whole requests say about the cost model: overheads no other table holds, and its error.

Both come from ``request.csv``, the profile's end-to-end truth, at the link as it was measured.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from statistics import median

import numpy as np

from prism_edge.plan import Method
from prism_edge.schedule.panel import Floats, Overheads

COVERED = 0.9
FLOOR = 0.05  # no interval is narrower: sessions differ (with it 88 % of 609 requests are covered)
UNKNOWN = 0.15  # where no request was measured end to end
GUESSED = 0.25  # where computing was scaled by operations, not measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """One measured request. ``predicted_s``: without overheads; the rest multiplies them."""

    method: Method
    predicted_s: float
    measured_s: float
    exchanges: int
    exchanged_bytes: int
    cell: int  # requests of the same plan and size have the same one


@dataclass(frozen=True, slots=True, kw_only=True)
class Bands:
    """By method, how far off nine of ten requests are, as a share of the prediction."""

    by_method: Mapping[Method, float] = field(default_factory=dict)

    def of(self, method: Method) -> float:
        """The half-width for ``method``; of all others where it was not measured itself."""
        if method in self.by_method:
            return self.by_method[method]
        return max(self.by_method.values(), default=UNKNOWN)


def fit_overheads(truths: Sequence[Truth]) -> Overheads:
    """Non-negative least squares of what is missing in the predictions, every cell weighing the
    same. Relative residuals, as in the link's fit."""
    cells: dict[int, list[Truth]] = defaultdict(list)
    for truth in truths:
        cells[truth.cell].append(truth)
    if not cells:
        return Overheads()
    rows, missing = [], []
    for found in cells.values():
        one, measured_s = found[0], median(truth.measured_s for truth in found)
        rows.append([1 / measured_s, one.exchanges / measured_s, one.exchanged_bytes / measured_s])
        missing.append((measured_s - one.predicted_s) / measured_s)
    request_s, exchange_s, byte_s = _non_negative(np.array(rows), np.array(missing))
    return Overheads(request_s=request_s, exchange_s=exchange_s, byte_s=byte_s)


def fit_bands(truths: Sequence[Truth], overheads: Overheads) -> Bands:
    """The share within which nine of ten single requests lay, widened for how few there were."""
    errors: dict[Method, list[float]] = defaultdict(list)
    for truth in truths:
        predicted_s = (
            truth.predicted_s
            + overheads.request_s
            + overheads.exchange_s * truth.exchanges
            + overheads.byte_s * truth.exchanged_bytes
        )
        errors[truth.method].append(abs(math.log(truth.measured_s / predicted_s)))
    return Bands(by_method={method: _width(found) for method, found in errors.items()})


def _width(errors: list[float]) -> float:
    """The share that the next of ``errors``, which are logarithms, stays below with probability
    ``COVERED``, by rank: the ceil((n + 1) 0.9)-th smallest of n; where n is too small for that, the
    largest and half more."""
    ordered = sorted(errors)
    rank = math.ceil((len(ordered) + 1) * COVERED)
    width = ordered[rank - 1] if rank <= len(ordered) else 1.5 * ordered[-1]
    return max(FLOOR, math.expm1(width))


def _non_negative(rows: Floats, missing: Floats) -> tuple[float, ...]:
    """Least squares without negative values: the best of all subsets of a few columns."""
    count = rows.shape[1]
    best: tuple[float, ...] = (0.0,) * count
    least = float(missing @ missing)
    for size in range(1, count + 1):
        for columns in map(list, combinations(range(count), size)):
            scale = np.linalg.norm(rows[:, columns], axis=0)
            if not scale.all():
                continue
            found, _, rank, _ = np.linalg.lstsq(rows[:, columns] / scale, missing, rcond=None)
            left = missing - rows[:, columns] @ (found / scale)
            if rank == size and (found >= 0).all() and float(left @ left) < least * (1 - 1e-9):
                values = np.zeros(count)
                values[columns] = found / scale
                best, least = tuple(map(float, values)), float(left @ left)
    return best
