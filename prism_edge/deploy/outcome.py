"""What came of a push, board by board, and as one exit code. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from prism_edge.deploy.step import Step

State = Literal[
    "unchanged", "would change", "changed", "failed", "rolled back", "prepared", "interrupted"
]
WELL = frozenset({"unchanged", "would change", "changed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """``old`` and ``new``: the releases that served before and that was wished, as far as known;
    ``steps``: done, or to be done; ``error``: what went wrong and what to do about it.

    ``prepared``: all is on the board, and it serves what it served before, because of another one.
    """

    board: str
    state: State
    old: str | None = None
    new: str | None = None
    steps: tuple[Step, ...] = ()
    seconds: float = 0.0
    error: str | None = None

    @property
    def ok(self) -> bool:
        return self.state in WELL


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """0: all is well; 1: something failed; 2: something would change; 130: interrupted."""
    states = {outcome.state for outcome in outcomes}
    if "interrupted" in states:
        return 130
    if not states <= WELL:
        return 1
    return 2 if "would change" in states else 0
