"""What every board computes: its part of a request in the production loop, never waiting.

Cells are visited in rounds. A cell's first visit warms it up until passes no longer drift; every
visit begins with a pass that is not counted. Cells whose rounds still drift are visited again.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass

from prism_edge.engine.client import EngineGoneError
from prism_edge.engine.messages import Message
from prism_edge.errors import ClusterError
from prism_edge.profile.engines import Engines
from prism_edge.profile.measured import Measured
from prism_edge.profile.pause import until_cool
from prism_edge.profile.sensors import NONE, Sensors
from prism_edge.profile.sweep import Cell, Sweep
from prism_edge.profile.visits import BoardVisits, affordable_repeats

EXTRA_ROUNDS = 2  # of the cells that are not steady


def measure_compute(
    engines: Engines,
    sweep: Sweep,
    *,
    aim_s: float,
    deadline_s: float,
    now: Callable[[], float],
    done: Collection[str] = (),
    sensors: Sensors = NONE,
) -> Iterator[Measured]:
    """Every cell on every board that may play it; all boards at once, each in its own order.
    What is ``done`` is left out.

    A board that is too slow for ``aim_s`` repeats less; after ``deadline_s`` cells are left out,
    with a warning. Raises ``ClusterError`` when a board is lost.
    """
    boards = [
        BoardVisits(rank, host.name, engines.fact(rank, "dtype"))
        for rank, host in enumerate(engines.hosts)
    ]
    for turn in range(sweep.rounds + EXTRA_ROUNDS):
        extra, start_s = turn >= sweep.rounds, now()
        for board in boards:
            cells = board.unsteady() if extra else sweep.cells[board.rank]
            board.begin(cells, turn, sweep.seed, done)
        if extra and not any(board.waiting for board in boards):
            break
        this = _Round(engines, sensors, boards, turn, extra, aim_s, deadline_s, now)
        yield from this.measure()
        if this.cut:
            yield Measured(text="compute", warning=_cut_warning(turn, this.cut, sweep))
            break
        if not extra and turn + 1 < sweep.rounds and 2 * now() - start_s > aim_s:
            yield Measured(text="compute", warning=_aim_warning(turn, sweep))
            break
        if turn + 1 >= sweep.rounds and now() >= aim_s:
            break
    for board in boards:
        for cell in board.unsteady():
            yield Measured(text=board.text(cell), warning=_drift_warning(board, cell))


@dataclass(slots=True)
class _Visit:
    """An order under way. ``stop_s``: when its answer came, on the monotonic clock."""

    board: BoardVisits
    cell: Cell
    repeats: int
    stop_s: float = 0.0

    def over(self, _: Future[Message]) -> None:
        self.stop_s = time.monotonic()


class _Round:
    """One visit of every board's waiting cells. ``cut``: cells left out at the deadline."""

    def __init__(
        self,
        engines: Engines,
        sensors: Sensors,
        boards: list[BoardVisits],
        turn: int,
        extra: bool,
        aim_s: float,
        deadline_s: float,
        now: Callable[[], float],
    ) -> None:
        self.cut = 0
        self._engines, self._sensors, self._boards = engines, sensors, boards
        self._turn, self._now = turn, now
        self._start_s, self._aim_s, self._deadline_s = now(), aim_s, deadline_s
        slowest = max(boards, key=lambda board: board.left_weight_s)
        self._weighed = None if extra else slowest  # whose cells are progress
        self._running: dict[Future[Message], _Visit] = {}

    def measure(self) -> Iterator[Measured]:
        """Every waiting cell once, unless the time is up or a board changes."""
        for board in self._boards:
            yield from self._next(board)
        while self._running:
            for future in wait(self._running, return_when=FIRST_COMPLETED).done:
                visit = self._running.pop(future)
                board = visit.board
                try:
                    said = future.result().fields
                except EngineGoneError as error:
                    raise ClusterError(f"board {board.name}: {error}") from error
                if (why := self._sensors.changed(board.rank)) is not None:
                    yield self._give_up(board, why)
                    continue
                yield self._finished(visit, said["warm"], said["seconds"])
                if self._now() < self._deadline_s:
                    yield from self._next(board)
                else:
                    self.cut += len(board.waiting)
                    board.waiting.clear()

    def _next(self, board: BoardVisits) -> Iterator[Measured]:
        """The board's next cell is under way."""
        if not board.waiting:
            return
        yield from until_cool(self._sensors, board.rank, board.name)
        passed_s = self._now() - self._start_s
        repeats = affordable_repeats(
            board.waiting[-1],
            left_weight_s=board.left_weight_s,
            done_weight_s=board.done_weight_s,
            passed_s=passed_s,
            left_s=self._aim_s - self._start_s - passed_s,
        )
        cell = board.waiting.pop()
        visit = _Visit(board, cell, repeats)
        future = self._engines.submit(
            board.rank,
            "measure",
            model=cell.model,
            plan=str(cell.plan),
            rank=cell.rank,
            batch=cell.batch,
            tokens=cell.tokens,
            repeats=repeats,
            until_steady=cell not in board.first,
            at_least_s=self._sensors.least_s(board.rank),
        )
        future.add_done_callback(visit.over)
        self._running[future] = visit

    def _finished(self, visit: _Visit, warm: list[float], seconds: list[float]) -> Measured:
        board, cell = visit.board, visit.cell
        board.done_weight_s += cell.weight_s * (visit.repeats + 1) / (cell.repeats + 1)
        board.first.setdefault(cell, [*warm, *seconds])
        median = statistics.median(seconds)
        board.medians.setdefault(cell, []).append(median)
        mean_w = self._sensors.mean_w(board.rank, visit.stop_s - sum(seconds), visit.stop_s)
        return Measured(
            text=f"{board.text(cell)}: {median * 1e3:.1f} ms",
            key=board.key(cell, self._turn),
            rows=board.rows(cell, self._turn, seconds, mean_w),
            weight_s=cell.weight_s if board is self._weighed else 0.0,
        )

    def _give_up(self, board: BoardVisits, why: str) -> Measured:
        """The board is not trusted from here on: nothing more of it is measured."""
        left = len(board.waiting) + 1
        board.over = True
        board.waiting.clear()
        return Measured(
            text=f"compute {board.name}",
            warning=f"board {board.name}: {why} during the sweep: {left} visits of round "
            f"{self._turn + 1} and all later ones were left out; set it back and use --resume",
        )


def _cut_warning(turn: int, cut: int, sweep: Sweep) -> str:
    if turn:
        return f"time was up in round {turn + 1} of {sweep.rounds} of the compute cells"
    total = sum(len(cells) for cells in sweep.cells)
    return (
        f"time was up: {cut} of {total} compute cells were not measured, and plans that need them "
        f"cannot be chosen; allow more --max-seconds or fewer --batches"
    )


def _aim_warning(turn: int, sweep: Sweep) -> str:
    return (
        f"compute cells were measured in {turn + 1} of {sweep.rounds} rounds: there was no time "
        f"for more; --resume adds the others"
    )


def _drift_warning(board: BoardVisits, cell: Cell) -> str:
    visits = len(board.medians[cell])
    between = f"between its {visits} rounds" if visits > 1 else "in its only round"
    return (
        f"{board.text(cell)}: not steady, it drifts by {board.drift(cell):+.0%} {between}; "
        f"something else may have run on the board: profile again"
    )
