"""The service started again, or the release before put back, through the board's own switch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prism_edge.deploy.apply import apply
from prism_edge.deploy.board_state import board_state
from prism_edge.deploy.everywhere import Found, Open, everywhere
from prism_edge.deploy.locks import held
from prism_edge.deploy.runner import Runner
from prism_edge.deploy.step import Activate
from prism_edge.errors import ClusterError
from prism_edge.settings import BoardSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A board went from release ``old`` to ``new``, which serves."""

    old: str
    new: str


def restart(
    boards: Sequence[BoardSettings], opened: Open, who: str, tell: Callable[[str, str], None]
) -> tuple[Found[Move], ...]:
    """Every board's release was started anew and has proved healthy."""

    def one(board: BoardSettings, runner: Runner) -> Move:
        with held(runner, who):
            current = _serving(runner)
            step = Activate(why="restart", id=current, old=current, restart=True)
            apply(step, runner, lambda text: tell(board.name, text))
            return Move(old=current, new=current)

    return everywhere(boards, opened, one)


def rollback(
    boards: Sequence[BoardSettings], opened: Open, who: str, tell: Callable[[str, str], None]
) -> tuple[Found[Move], ...]:
    """Every board serves the release that it served before; none is touched if one has none."""
    planned = everywhere(boards, opened, lambda _, runner: _before(runner))
    if any(one.error is not None for one in planned):
        return tuple(_left(one) for one in planned)
    moves = {one.board: one.value for one in planned if one.value is not None}

    def one(board: BoardSettings, runner: Runner) -> Move:
        move = moves[board.name]
        with held(runner, who):
            step = Activate(why="rollback", id=move.new, old=move.old)
            tell(board.name, f"{move.old} -> {move.new}")
            apply(step, runner, lambda text: tell(board.name, text))
            return move

    return everywhere(boards, opened, one)


def _left(one: Found[Move]) -> Found[Move]:
    if one.error is not None:
        return one
    return Found(board=one.board, error="not touched, because another board cannot go back")


def _before(runner: Runner) -> Move:
    current, previous = _serving(runner), board_state(runner).previous
    if previous is None or previous == current:
        raise ClusterError(
            f"board {runner.name}: there is no release before {current} to go back to; push the "
            f"one that you want"
        )
    return Move(old=current, new=previous)


def _serving(runner: Runner) -> str:
    current = board_state(runner).current
    if current is None:
        raise ClusterError(
            f"board {runner.name}: nothing is deployed there; "
            f"`prism-edge deploy push --cluster FILE`"
        )
    return current
