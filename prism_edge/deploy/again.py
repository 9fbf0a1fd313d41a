"""The service started again, or the release before put back, through the board's own switch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prism_edge.deploy.apply import apply
from prism_edge.deploy.ask import await_group
from prism_edge.deploy.everywhere import Found, Open, everywhere
from prism_edge.deploy.locks import held
from prism_edge.deploy.runner import Runner
from prism_edge.deploy.status import board_state
from prism_edge.deploy.step import Activate
from prism_edge.errors import ClusterError, PrismError
from prism_edge.settings import BoardSettings, Settings

_GROUP_S = 60.0


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
            current, _ = _releases(runner)
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
        left = "not touched, because another board cannot go back"
        return tuple(Found(board=one.board, error=one.error or left) for one in planned)
    moves = {one.board: one.value for one in planned if one.value is not None}

    def one(board: BoardSettings, runner: Runner) -> Move:
        move = moves[board.name]
        with held(runner, who):
            step = Activate(why="rollback", id=move.new, old=move.old)
            tell(board.name, f"{move.old} -> {move.new}")
            apply(step, runner, lambda text: tell(board.name, text))
            return move

    return everywhere(boards, opened, one)


def gate(found: Sequence[Found[Move]], settings: Settings, opened: Open) -> tuple[Found[Move], ...]:
    """The same, if the leader sees those that moved in its group; otherwise why it does not."""
    moved = {one.board: one.value for one in found if one.value is not None}
    try:
        if moved:
            with opened(settings.board(settings.leader)) as leader:
                await_group(leader, moved, _GROUP_S)
        return tuple(found)
    except PrismError as error:
        why = f"the boards have not come together: {error}; a second rollback goes forward again"
        return tuple(
            Found(board=one.board, error=f"it serves {one.value.new}, but {why}")
            if one.value is not None
            else one
            for one in found
        )


def _before(runner: Runner) -> Move:
    current, previous = _releases(runner)
    if previous is None or previous == current:
        raise ClusterError(
            f"board {runner.name}: there is no release before {current} to go back to; push the "
            f"one that you want"
        )
    return Move(old=current, new=previous)


def _releases(runner: Runner) -> tuple[str, str | None]:
    """What serves, and what served before."""
    state = board_state(runner)
    if state.current is None:
        raise ClusterError(
            f"board {runner.name}: nothing is deployed there; "
            f"`prism-edge deploy push --cluster FILE`"
        )
    return state.current, state.previous
