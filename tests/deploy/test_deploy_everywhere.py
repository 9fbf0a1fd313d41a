"""Work on several boards: here they are this machine, and one that cannot be reached."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from prism_edge.deploy.everywhere import Found, everywhere
from prism_edge.deploy.here import Here
from prism_edge.deploy.runner import Runner
from prism_edge.errors import UnreachableError
from prism_edge.settings import BoardSettings


@contextlib.contextmanager
def opened(board: BoardSettings) -> Iterator[Runner]:
    if board.name == "away":
        raise UnreachableError("board away: no route")
    yield Here(name=board.name)


def test_one_that_fails_does_not_stop_the_others() -> None:
    boards = [BoardSettings(name=name, address=name) for name in ("b", "away", "a")]
    found = everywhere(boards, opened, lambda board, runner: runner.run(f"echo {board.name}").out)
    assert found == (
        Found(board="b", value="b\n"),
        Found(board="away", error="board away: no route"),
        Found(board="a", value="a\n"),
    )
