"""What every board computes: its part of a request in the production loop, never waiting.

Cells are visited in rounds. A cell's first visit warms it up until passes no longer drift; every
visit begins with a pass that is not counted. Cells whose rounds still drift are visited again.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass

from prism_edge.engine.client import EngineGoneError
from prism_edge.engine.messages import Message
from prism_edge.errors import ClusterError, PrismError
from prism_edge.profile.engines import Engines
from prism_edge.profile.measured import Measured
from prism_edge.profile.pause import until_cool
from prism_edge.profile.sensors import NONE, Sensors
from prism_edge.profile.sweep import Cell, Sweep
from prism_edge.profile.visits import BoardVisits, affordable_repeats, words

EXTRA_ROUNDS = 2  # of the cells that are not steady
PATIENCE_S = 600.0  # without an answer of any board, they are frozen


def measure_compute(
    engines: Engines,
    sweep: Sweep,
    *,
    aim_s: float,
    deadline_s: float,
    now: Callable[[], float],
    done: Collection[str] = (),
    sensors: Sensors = NONE,
    later_s: float = 0.0,
    patience_s: float = PATIENCE_S,
) -> Iterator[Measured]:
    """Every cell on every board that may play it; all boards at once, each in its own order.
    What is ``done`` is left out.

    Boards that are too slow for ``aim_s`` repeat less. ``later_s``: a first guess of what the sweep
    still has to do until then; a machine that is slower than guessed here will be so there. After
    ``deadline_s`` cells are left out. A warning says what is missing, and which cells are not
    steady. A cell that a board cannot compute is left out. Raises ``ClusterError`` when a board is
    lost, or none answers for ``patience_s``.
    """
    boards = [
        BoardVisits(rank, host.name, engines.fact(rank, "dtype"))
        for rank, host in enumerate(engines.hosts)
    ]
    pace = 1.0  # seconds for one of the first guess
    for turn in range(sweep.rounds + EXTRA_ROUNDS):
        extra, start_s, aimed_s = turn >= sweep.rounds, now(), aim_s - later_s * pace
        until_s = min(aimed_s, deadline_s) if turn else deadline_s
        for board in boards:
            cells = board.unsteady() if extra else sweep.cells[board.rank]
            board.begin(cells, turn, sweep.seed, done)
        this = _Round(engines, sensors, boards, turn, sweep, aimed_s, until_s, now)
        guess_s = (1 if turn else 2) * max(board.left_weight_s for board in boards)
        yield from this.measure(patience_s)
        if guess_s:
            pace = max(1.0, (now() - start_s) / guess_s)
        if this.cut:
            if not extra:
                yield Measured(text="compute", warning=_cut_warning(turn, this.cut, sweep))
            break
    for board in boards:
        if unsteady := board.unsteady():
            said = _drift_warning(board, unsteady)
            yield Measured(text=f"compute {board.name}", warning=said, lasting=True)
        if board.unmetered:
            said = _meter_warning(board)
            yield Measured(text=f"compute {board.name}", warning=said, lasting=True)


@dataclass(slots=True)
class _Visit:
    """An order under way. ``stop_s``: when its answer came, on the monotonic clock."""

    board: BoardVisits
    cell: Cell
    repeats: int
    stop_s: float = 0.0

    def over(self, _: Future[Message]) -> None:
        self.stop_s = time.monotonic()

    @property
    def ended_s(self) -> float:
        """``stop_s``; now while it is not noted yet: who waits may hear the answer first."""
        return self.stop_s or time.monotonic()


class _Round:
    """One visit of every board's waiting cells. ``cut``: cells left out at the deadline."""

    def __init__(
        self,
        engines: Engines,
        sensors: Sensors,
        boards: list[BoardVisits],
        turn: int,
        sweep: Sweep,
        aim_s: float,
        until_s: float,
        now: Callable[[], float],
    ) -> None:
        self.cut = 0
        self._engines, self._sensors, self._boards = engines, sensors, boards
        self._turn, self._sweep, self._now = turn, sweep, now
        self._start_s, self._aim_s, self._until_s = now(), aim_s, until_s
        slowest = max(boards, key=lambda board: board.left_weight_s)
        self._weighed = slowest if turn < sweep.rounds else None  # whose cells are progress
        self._running: dict[Future[Message], _Visit] = {}

    def measure(self, patience_s: float) -> Iterator[Measured]:
        """Every waiting cell once, unless the time is up or a board changes."""
        for board in self._boards:
            yield from self._next(board)
        while self._running:
            answered = wait(self._running, patience_s, return_when=FIRST_COMPLETED).done
            if not answered:
                mute = "; ".join(
                    f"board {visit.board.name}: no answer to {words(visit.cell)} "
                    f"after {patience_s:g} s"
                    for visit in self._running.values()
                )
                raise ClusterError(mute)
            for future in answered:
                visit = self._running.pop(future)
                board = visit.board
                try:
                    said = future.result().fields
                except EngineGoneError as error:
                    raise ClusterError(f"board {board.name}: {error}") from error
                except PrismError as error:  # the engine lives: other cells may be smaller
                    yield from self._left_out(visit, error)
                    yield from self._next(board)
                    continue
                if (why := self._sensors.changed(board.rank)) is not None:
                    yield self._give_up(board, why)
                    continue
                yield self._finished(visit, said["warm"], said["seconds"])
                yield from self._next(board)

    def _next(self, board: BoardVisits) -> Iterator[Measured]:
        """The board's next cell is under way, while there is time."""
        if not board.waiting:
            return
        if self._now() >= self._until_s:
            self.cut += len(board.waiting)
            board.waiting.clear()
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
            warm_s=self._sweep.warm_s if cell not in board.first else 0.0,
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
        weight_s = cell.weight_s if board is self._weighed else 0.0
        stop_s = visit.ended_s
        mean_w = self._sensors.mean_w(board.rank, stop_s - sum(seconds), stop_s)
        if mean_w is None and self._sensors.power(board.rank) != "none":
            board.unmetered.add(cell)
        return Measured(
            text=f"compute {board.name} {words(cell)}: {median * 1e3:.1f} ms",
            key=board.key(cell, self._turn),
            rows=board.rows(cell, self._turn, seconds, mean_w),
            weight_s=(2 if self._turn == 0 else 1) * weight_s,
        )

    def _left_out(self, visit: _Visit, error: PrismError) -> Iterator[Measured]:
        """The cell is not measured, now or later: what does not fit would not fit again."""
        board, cell = visit.board, visit.cell
        board.failed.add(cell)
        text = f"compute {board.name} {words(cell)}"
        why = f"board {board.name}: {words(cell)}: {' '.join(str(error).split())}"
        lost = "it was left out, and plans that need it cannot be chosen"
        said = f"{why}; {'it was not measured again' if self._turn else lost}"
        for turn in range(self._turn, max(self._turn + 1, self._sweep.rounds)):
            weight_s = cell.weight_s if board is self._weighed else 0.0
            yield Measured(
                text=text,
                key=board.key(cell, turn),
                weight_s=(2 if turn == 0 else 1) * weight_s,
                warning=said,
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
        return (
            f"time was up in round {turn + 1} of {sweep.rounds} of the compute cells: {cut} visits "
            f"were left out"
        )
    total = sum(len(cells) for cells in sweep.cells)
    return (
        f"time was up: {cut} of {total} compute cells were not measured, and plans that need them "
        f"cannot be chosen; allow more --max-seconds or fewer --batches"
    )


def _drift_warning(board: BoardVisits, cells: Sequence[Cell]) -> str:
    """Names them all, the worst first."""
    worst = sorted(cells, key=lambda cell: -abs(board.drift(cell)))
    listed = "; ".join(f"{words(cell)} {board.drift(cell):+.0%}" for cell in worst)
    return (
        f"board {board.name}: {len(cells)} of {len(board.medians)} compute cells are not steady, "
        f"they drift from their first repeats to their last: {listed}. Something else may run "
        f"there: stop it and profile again"
    )


def _meter_warning(board: BoardVisits) -> str:
    listed = "; ".join(sorted(words(cell) for cell in board.unmetered))
    return (
        f"board {board.name}: {len(board.unmetered)} of {len(board.medians)} compute cells have "
        f"visits without energy: too few samples of its power meter fell into them: {listed}"
    )
