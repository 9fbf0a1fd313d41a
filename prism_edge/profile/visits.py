"""What a board has yet to measure in a round of compute cells, and what its visits showed. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from prism_edge.engine.steady import TOLERANCE, drift, last_drift
from prism_edge.profile.sweep import Cell, shuffled
from prism_edge.tables import ComputeRow

PASSES = 100  # a visit has no more: the repeats of round 2 are numbered from 200 on


@dataclass(slots=True)
class BoardVisits:
    """``first``: all passes of each cell's first visit; ``medians``: of all its visits in turn.
    ``failed``: cells that the board could not compute; ``unmetered``: whose energy is not known,
    on a board with a meter.
    ``over``: the board is no longer the one that the sweep began with."""

    rank: int
    name: str
    dtype: str
    waiting: list[Cell] = field(default_factory=list)
    done_weight_s: float = 0.0
    first: dict[Cell, list[float]] = field(default_factory=dict)
    medians: dict[Cell, list[float]] = field(default_factory=dict)
    failed: set[Cell] = field(default_factory=set)
    unmetered: set[Cell] = field(default_factory=set)
    over: bool = False

    def begin(self, cells: Sequence[Cell], turn: int, seed: int, done: Collection[str]) -> None:
        """A round over ``cells``, in an order of its own, without what is ``done``."""
        ordered = [] if self.over else shuffled(cells, f"{seed}/{turn}/{self.rank}")
        left = [cell for cell in ordered if self.key(cell, turn) not in done]
        self.waiting = [cell for cell in left if cell not in self.failed]
        self.done_weight_s = 0.0

    @property
    def left_weight_s(self) -> float:
        """A first guess of what the round's other cells take."""
        return sum(cell.weight_s for cell in self.waiting)

    def key(self, cell: Cell, turn: int) -> str:
        """The name of one visit."""
        return f"compute/{self.name}/{'/'.join(map(str, cell.key))}/{turn}"

    def drift(self, cell: Cell) -> float:
        """By how much the cell's visits drift; those of a single visit, by its passes."""
        medians = self.medians[cell]
        return drift(medians) if len(medians) > 1 else last_drift(self.first[cell])

    def unsteady(self) -> list[Cell]:
        """The cells of this run that still drift."""
        return [cell for cell in self.medians if not abs(self.drift(cell)) <= TOLERANCE]

    def rows(
        self, cell: Cell, turn: int, seconds: Sequence[float], mean_w: float | None
    ) -> tuple[ComputeRow, ...]:
        """A visit's passes; ``mean_w``: what the board drew during them."""
        return tuple(
            ComputeRow(
                board=self.name,
                model=cell.model,
                batch=cell.batch,
                tokens_own=cell.own,
                tokens_known=cell.known,
                dtype=self.dtype,
                repeat=turn * PASSES + index,
                latency_s=latency_s,
                energy_j=None if mean_w is None else max(0.0, mean_w) * latency_s,
            )
            for index, latency_s in enumerate(seconds)
        )


def words(cell: Cell) -> str:
    """The cell for people."""
    return f"{cell.model} batch {cell.batch}, {cell.own} of {cell.known} tokens"


def affordable_repeats(
    cell: Cell, *, left_weight_s: float, done_weight_s: float, passed_s: float, left_s: float
) -> int:
    """The cell's repeats when, at the pace so far, everything left fits ``left_s``; else one."""
    if done_weight_s == 0:
        return cell.repeats
    return cell.repeats if left_weight_s * passed_s / done_weight_s <= left_s else 1
