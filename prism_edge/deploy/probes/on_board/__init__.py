"""Programs for a board's own Python, sent as text: they import nothing of ours, from 3.8 on."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

MARK = "prism-edge "  # begins the lines that are ours; torch and numpy may print others


def command(program: str, python: str) -> str:
    """The line that runs ``program`` with ``python``: no user's packages, nothing written."""
    text = (Path(__file__).parent / f"{program}.py").read_text(encoding="utf-8")
    return f"{shlex.quote(python)} -I -B -W ignore -c {shlex.quote(text)}"


def said(out: str) -> dict[str, object]:
    """What a program has said, its lines put together; lines that are not its own count nothing."""
    found: dict[str, object] = {}
    for line in out.splitlines():
        if line.startswith(MARK):
            try:
                value = json.loads(line[len(MARK) :])
            except (ValueError, RecursionError):
                continue
            if isinstance(value, dict):
                found |= value
    return found


def text(value: object) -> str | None:
    """The value if it is a text that says something."""
    return value if isinstance(value, str) and value else None


def flag(value: object) -> bool | None:
    """The value if it is true or false."""
    return value if isinstance(value, bool) else None
