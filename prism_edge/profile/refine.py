"""More repeats where a decision hangs on them: what ``--refine`` spends the time left on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import count
from typing import Protocol

from prism_edge.profile.compute import measure_compute
from prism_edge.profile.engines import Engines
from prism_edge.profile.measured import Measured
from prism_edge.profile.sensors import NONE, Sensors
from prism_edge.profile.sweep import Cell, Sweep
from prism_edge.tables import ComputeRow, Profile
from prism_edge.tables.rows import Row

AT_ONCE = 4  # cells before the question is asked again
REPEATS = 1000  # more than a sweep numbers: the repeats of the second turn are numbered from 2000


class Doubt(Protocol):
    """A compute cell that needs more repeats."""

    @property
    def model(self) -> str: ...
    @property
    def batch(self) -> int: ...
    @property
    def tokens_own(self) -> int: ...
    @property
    def tokens_known(self) -> int: ...


Doubts = Callable[[Profile], Sequence[Doubt]]


def refine(
    engines: Engines,
    sweep: Sweep,
    doubts: Doubts,
    profile: Callable[[], Profile],
    *,
    deadline_s: float,
    now: Callable[[], float] = time.monotonic,
    sensors: Sensors = NONE,
) -> Iterator[Measured]:
    """More repeats of the cells most in doubt, on every board that has them, until the time is up
    or nothing is in doubt. ``profile()``: with all that was handed on.
    """
    for turn in count(1 + max((row.repeat for row in profile().compute), default=0) // REPEATS):
        cells = doubtful(sweep, doubts(profile())[:AT_ONCE])
        if now() >= deadline_s or not any(cells):
            return
        for rank, host in enumerate(engines.hosts):
            if (why := sensors.changed(rank)) is not None:
                yield Measured(text="", warning=f"refining ended: board {host.name}: {why}")
                return
        part = replace(sweep, cells=cells, rounds=1, requests=(), seed=sweep.seed + turn)
        finished = 0
        for measured in measure_compute(
            engines, part, aim_s=deadline_s, deadline_s=float("inf"), now=now, sensors=sensors
        ):
            finished += bool(measured.rows)  # a cell that fails would fail for ever
            yield renumbered(measured, turn)
        if not finished:
            return


def doubtful(sweep: Sweep, doubts: Sequence[Doubt]) -> tuple[tuple[Cell, ...], ...]:
    """The cells of the sweep that are in doubt, by board."""
    wanted = {(item.model, item.batch, item.tokens_own, item.tokens_known) for item in doubts}
    return tuple(tuple(cell for cell in cells if cell.key in wanted) for cells in sweep.cells)


def renumbered(measured: Measured, turn: int) -> Measured:
    """The same, its rows numbered beyond all that came before ``turn``."""
    if not measured.key:  # whether a part of the sweep is steady or whole is not asked here
        return replace(measured, warning=None)
    rows = tuple(_later(row, turn) for row in measured.rows)
    return replace(measured, key=f"refine/{turn}/{measured.key}", rows=rows)


def _later(row: Row, turn: int) -> Row:
    assert isinstance(row, ComputeRow)
    return replace(row, repeat=turn * REPEATS + row.repeat)
