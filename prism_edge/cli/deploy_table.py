"""What came of a push: a table for people, with the reasons below it, or one JSON object."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prism_edge.deploy.part import Outcome

_HEAD = ("board", "state", "served", "wished", "steps", "seconds")


def show(outcomes: Sequence[Outcome], transcripts: Path) -> None:
    """Print the steps that were wanted, one line per board, and what to do about failures."""
    from prism_edge.deploy.diff import words

    for outcome in outcomes:
        if outcome.state == "would change":
            print(f"board {outcome.board}")
            for step in outcome.steps:
                print(f"  {words(step)}: {step.why}")
    print_rows([_HEAD, *(_row(outcome) for outcome in outcomes)])
    for outcome in outcomes:
        if outcome.error is not None:
            sort = "note" if outcome.ok else "error"
            for line in outcome.error.splitlines():
                about = "" if line.startswith("board ") else f"board {outcome.board}: "
                print(f"{sort}: {about}{line}", file=sys.stderr)
    if not all(outcome.ok for outcome in outcomes):
        print(f"what was said to boards, and by them: {transcripts}", file=sys.stderr)


def print_rows(rows: Sequence[Sequence[str]]) -> None:
    """Print rows of cells in columns; the first row is the head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


def as_dict(cluster: str, outcomes: Sequence[Outcome], code: int) -> dict[str, object]:
    """The same as values JSON can carry."""
    return {
        "cluster": cluster,
        "code": code,
        "boards": {outcome.board: _board(outcome) for outcome in outcomes},
    }


def _board(outcome: Outcome) -> dict[str, object]:
    from prism_edge.deploy.diff import words

    return {
        "state": outcome.state,
        "ok": outcome.ok,
        "changed": len(outcome.steps),
        "steps": [
            {"step": type(step).__name__, "what": words(step), "why": step.why}
            for step in outcome.steps
        ],
        "old": outcome.old,
        "new": outcome.new,
        "seconds": round(outcome.seconds, 3),
        "error": outcome.error,
    }


def _row(outcome: Outcome) -> tuple[str, ...]:
    return (
        outcome.board,
        outcome.state,
        outcome.old or "-",
        outcome.new or "-",
        str(len(outcome.steps)),
        f"{outcome.seconds:.1f}",
    )
