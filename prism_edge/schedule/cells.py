"""What one board takes to compute: looked up, interpolated inside; outside only when asked for."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from prism_edge.intervals import quantile
from prism_edge.layout import ModelShape, block_macs
from prism_edge.tables import ComputeRow

LOW, HIGH = 0.05, 0.95  # the interval: nine of ten repeats


@dataclass(frozen=True, slots=True)
class Spread:
    """Median of raw repeats, with the quantiles that nine of ten lie between."""

    low_s: float
    mid_s: float
    high_s: float

    @classmethod
    def of(cls, repeats: Iterable[float]) -> Spread:
        ordered = sorted(repeats)
        return cls(*(quantile(ordered, share) for share in (LOW, 0.5, HIGH)))

    def towards(self, other: Spread, share: float) -> Spread:
        """The spread ``share`` of the way to ``other``."""
        return Spread(
            self.low_s + share * (other.low_s - self.low_s),
            self.mid_s + share * (other.mid_s - self.mid_s),
            self.high_s + share * (other.high_s - self.high_s),
        )

    def times(self, factor: float) -> Spread:
        return Spread(factor * self.low_s, factor * self.mid_s, factor * self.high_s)


class Cells:
    """One board's times for one model, by own tokens n, known tokens M and batch B."""

    def __init__(self, shape: ModelShape, rows: Iterable[ComputeRow]) -> None:
        self._shape = self._wanted = shape
        self.foreign = False  # True: of another model, which says nothing exact about this one
        raw: dict[tuple[int, int], dict[int, list[float]]] = {}
        for row in rows:
            cell = raw.setdefault((row.tokens_own, row.tokens_known), defaultdict(list))
            cell[row.batch].append(row.latency_s)
        self._cells = {
            key: {batch: Spread.of(repeats) for batch, repeats in batches.items()}
            for key, batches in raw.items()
        }

    @property
    def measured(self) -> Iterable[tuple[int, int]]:
        """(n, M) of every measured cell."""
        return self._cells.keys()

    def time(self, own: int, known: int, batch: int) -> Spread | None:
        """Seconds of one pass; None outside what was measured.

        The cell itself between its measured batches; else, at a measured batch, between the two
        cells that need next fewer and next more operations.
        """
        if self.foreign:
            return None
        exact = _between(self._cells.get((own, known), {}), batch)
        if exact is not None:
            return exact
        work = block_macs(self._shape, own, known)
        at_batch: dict[int, Spread] = {}
        for measured in {size for batches in self._cells.values() for size in batches}:
            by_work = {
                block_macs(self._shape, *key): batches[measured]
                for key, batches in self._cells.items()
                if measured in batches
            }
            spread = _between(by_work, work)
            if spread is not None:
                at_batch[measured] = spread
        return _between(at_batch, batch)

    def scaled(self, own: int, known: int, batch: int) -> Spread | None:
        """A guess of one pass outside what was measured: the cell that comes nearest in operations,
        scaled by them. None when nothing was measured."""
        wanted = batch * self._wanted.blocks * block_macs(self._wanted, own, known)
        found = [
            (batch * self._shape.blocks * block_macs(self._shape, *key), spread)
            for key, batches in self._cells.items()
            for batch, spread in batches.items()
        ]
        if not found:
            return None
        work, spread = min(found, key=lambda item: abs(math.log(item[0] / wanted)))
        return spread.times(wanted / work)

    def of(self, shape: ModelShape) -> Cells:
        """The same board for a model that was not measured: all its times are ``scaled`` ones."""
        other = Cells(self._shape, ())
        other._cells, other._wanted, other.foreign = self._cells, shape, True
        return other


def _between(measured: Mapping[int, Spread], wanted: int) -> Spread | None:
    """Linear between the nearest measured points around ``wanted``; None outside them."""
    if wanted in measured:
        return measured[wanted]
    points = sorted(measured)
    index = bisect_left(points, wanted)
    if index in (0, len(points)):
        return None
    below, above = points[index - 1], points[index]
    share = (wanted - below) / (above - below)
    return measured[below].towards(measured[above], share)
