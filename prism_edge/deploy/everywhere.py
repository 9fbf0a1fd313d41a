"""The same work on several boards at once; one that fails is no reason to stop the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from prism_edge.deploy.runner import Runner
from prism_edge.errors import PrismError
from prism_edge.settings import BoardSettings

Open: TypeAlias = Callable[[BoardSettings], AbstractContextManager[Runner]]
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found(Generic[Value]):
    """What came of it on one board: ``value``, or ``error`` and what to do about it."""

    board: str
    value: Value | None = None
    error: str | None = None


def everywhere(
    boards: Sequence[BoardSettings],
    opened: Open,
    work: Callable[[BoardSettings, Runner], Value],
) -> tuple[Found[Value], ...]:
    """What came of ``work`` on each board, in their order."""

    def one(board: BoardSettings) -> Found[Value]:
        try:
            with opened(board) as runner:
                return Found(board=board.name, value=work(board, runner))
        except PrismError as error:
            return Found(board=board.name, error=str(error))

    with ThreadPoolExecutor(max_workers=max(1, len(boards))) as pool:
        return tuple(pool.map(one, boards))
