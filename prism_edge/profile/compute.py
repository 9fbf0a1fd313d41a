"""What every board computes: its part of a request in the production loop, never waiting."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass

from prism_edge.engine.client import EngineGoneError
from prism_edge.engine.messages import Message
from prism_edge.errors import ClusterError
from prism_edge.profile.engines import Engines
from prism_edge.profile.measured import Measured
from prism_edge.profile.sweep import Cell, Sweep, shuffled
from prism_edge.tables import ComputeRow


@dataclass(slots=True)
class _Board:
    """What is left for one board to measure in this round, and how much it has done."""

    rank: int
    name: str
    dtype: str
    waiting: list[Cell]
    done_weight_s: float = 0.0

    @property
    def left_weight_s(self) -> float:
        return sum(cell.weight_s for cell in self.waiting)


def measure_compute(
    engines: Engines,
    sweep: Sweep,
    *,
    aim_s: float,
    deadline_s: float,
    now: Callable[[], float],
    done: Collection[str] = (),
) -> Iterator[Measured]:
    """Every cell on every board that may play it; all boards at once, each in its own order.
    What is ``done`` is left out.

    A board that is too slow for ``aim_s`` repeats nothing; after ``deadline_s`` cells are left out,
    with a warning. Raises ``ClusterError`` when a board is lost.
    """
    for turn in range(sweep.rounds):
        start_s = now()
        boards = [
            _Board(
                rank,
                engines.hosts[rank].name,
                engines.fact(rank, "dtype"),
                [
                    cell
                    for cell in shuffled(cells, f"{sweep.seed}/{turn}/{rank}")
                    if _key(engines.hosts[rank].name, cell, turn) not in done
                ],
            )
            for rank, cells in enumerate(sweep.cells)
        ]
        slowest = max(boards, key=lambda board: board.left_weight_s)
        running: dict[Future[Message], tuple[_Board, Cell, int]] = {}
        cut = 0
        for board in boards:
            _start_next(engines, board, running, 0.0, float("inf"))
        while running:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                board, cell, repeats = running.pop(future)
                try:
                    seconds = future.result().fields["seconds"]
                except EngineGoneError as error:
                    raise ClusterError(f"board {board.name}: {error}") from error
                board.done_weight_s += cell.weight_s * (repeats + 1) / (cell.repeats + 1)
                yield Measured(
                    text=f"compute {board.name} {cell.model} batch {cell.batch}, "
                    f"{cell.own} of {cell.known} tokens: {statistics.median(seconds) * 1e3:.1f} ms",
                    key=_key(board.name, cell, turn),
                    rows=_rows(board, cell, turn, seconds),
                    weight_s=cell.weight_s if board is slowest else 0.0,
                )
                if now() < deadline_s:
                    passed_s = now() - start_s
                    _start_next(engines, board, running, passed_s, aim_s - start_s - passed_s)
                else:
                    cut += len(board.waiting)
                    board.waiting.clear()
        if cut:
            yield Measured(text="compute", warning=_cut_warning(turn, cut, sweep))
        if cut or (now() >= aim_s and turn + 1 < sweep.rounds):
            return


def affordable_repeats(
    cell: Cell, *, left_weight_s: float, done_weight_s: float, passed_s: float, left_s: float
) -> int:
    """The cell's repeats when, at the pace so far, everything left fits ``left_s``; else one."""
    if done_weight_s == 0:
        return cell.repeats
    return cell.repeats if left_weight_s * passed_s / done_weight_s <= left_s else 1


def _start_next(
    engines: Engines,
    board: _Board,
    running: dict[Future[Message], tuple[_Board, Cell, int]],
    passed_s: float,
    left_s: float,
) -> None:
    if not board.waiting:
        return
    repeats = affordable_repeats(
        board.waiting[-1],
        left_weight_s=board.left_weight_s,
        done_weight_s=board.done_weight_s,
        passed_s=passed_s,
        left_s=left_s,
    )
    cell = board.waiting.pop()
    future = engines.submit(
        board.rank,
        "measure",
        model=cell.model,
        plan=str(cell.plan),
        rank=cell.rank,
        batch=cell.batch,
        tokens=cell.tokens,
        repeats=repeats,
    )
    running[future] = board, cell, repeats


def _key(board: str, cell: Cell, turn: int) -> str:
    return f"compute/{board}/{'/'.join(map(str, cell.key))}/{turn}"


def _rows(board: _Board, cell: Cell, turn: int, seconds: Sequence[float]) -> tuple[ComputeRow, ...]:
    return tuple(
        ComputeRow(
            board=board.name,
            model=cell.model,
            batch=cell.batch,
            tokens_own=cell.own,
            tokens_known=cell.known,
            dtype=board.dtype,
            repeat=turn * cell.repeats + index,
            latency_s=latency_s,
        )
        for index, latency_s in enumerate(seconds)
    )


def _cut_warning(turn: int, cut: int, sweep: Sweep) -> str:
    if turn:
        return f"time was up in round {turn + 1} of {sweep.rounds} of the compute cells"
    total = sum(len(cells) for cells in sweep.cells)
    return (
        f"time was up: {cut} of {total} compute cells were not measured, and plans that need them "
        f"cannot be chosen; allow more --max-seconds or fewer --batches"
    )
