"""What it takes to move a payload between a board's device and its host memory.

GLOO sends from host memory only, so every message of a board with an accelerator is staged, out of
the sender's device and into the receiver's. A board that computes on its CPU stages nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from prism_edge.schedule.link import Line, fit_line
from prism_edge.tables import StagingRow
from prism_edge.tables.staging_rule import DIRECTIONS, PATHS, StagingRule, fastest_rule, medians


class Staging:
    """One board's copies, by the path that was fastest for their size. Nothing measured: free."""

    def __init__(self, rows: Iterable[StagingRow], board: str) -> None:
        rows = [row for row in rows if row.board == board and row.path in PATHS]
        self._rule: StagingRule | None = fastest_rule(rows, board)
        points: dict[tuple[str, str], dict[int, float]] = defaultdict(dict)
        for size, seconds in medians(rows).items():
            for key, median_s in seconds.items():
                points[key][size] = median_s
        self._lines: dict[tuple[str, str], Line] = {
            key: fit_line(sizes) for key, sizes in points.items() if len(sizes) >= 2
        }

    def round_s(self, out_bytes: int, in_bytes: int) -> float:
        """Seconds to take one payload off the device and put another one onto it."""
        out, back = DIRECTIONS
        return self._copy_s(out, out_bytes) + self._copy_s(back, in_bytes)

    def _copy_s(self, direction: str, size: int) -> float:
        if self._rule is None or size == 0:
            return 0.0
        line = self._lines.get((self._rule.path(size), direction))
        if line is None:
            return 0.0
        return line.alpha_s + 8 * max(0.0, size - line.burst_bytes) / line.bandwidth_bps
