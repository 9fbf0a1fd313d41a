"""When the lines of a recorded tegrastats log were printed, and how that is known. Pure.

tegrastats prints a date with whole seconds, from JetPack 5 on, and keeps no other time. The lines
of one second are spread evenly over it; those of the first second of a log end with it, those of
the last begin with it. Lines a second or more apart are put into the middle of their second. A
clock that was set back goes on from where it was, over a gap.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timezone
from itertools import groupby, pairwise
from statistics import median

from prism_edge.energy.meter import UNTOLD_S

BY_OFFSET = "offsets in the file"
BY_DATE = "the dates in the file, to whole seconds, lines spread evenly in each"
BY_INTERVAL = "one line every {:g} s, as told"
ASSUMED = "ASSUMED: one line every 1 s, the default of tegrastats; --interval says how many it were"

_DATE = re.compile(r"\s*(\d{2}-\d{2}-\d{4}\s+\d{2}:\d{2}:\d{2})(?!\S)", re.ASCII)
_OFFSET = re.compile(r"(-?[0-9]{1,12}(?:\.[0-9]{1,12})?)\s+(?=\S)", re.ASCII)


def date_of(line: str) -> float | None:
    """The line's date in seconds, as if the board's local time were UTC; None without one."""
    found = _DATE.match(line)
    if found is None:
        return None
    try:
        date = datetime.strptime(" ".join(found[1].split()), "%m-%d-%Y %H:%M:%S")
    except ValueError:
        return None
    return date.replace(tzinfo=timezone.utc).timestamp()


def offset_of(line: str) -> tuple[float, str] | None:
    """The seconds before a recorded line and the line itself; None for a line as it was printed."""
    found = None if _DATE.match(line) else _OFFSET.match(line)
    return (float(found[1]), line[found.end() :]) if found else None


def times(lines: Sequence[str], interval_s: float | None = None) -> tuple[list[float], str]:
    """When each of the lines, printed and readable all, came; and by what that is known."""
    offsets = [offset_of(line) for line in lines]
    if lines and all(offset is not None for offset in offsets):
        return [offset[0] for offset in offsets if offset is not None], BY_OFFSET
    dates = [date_of(line) for line in lines]
    if lines and None not in dates:
        return spread([date for date in dates if date is not None]), BY_DATE
    said = ASSUMED if interval_s is None else BY_INTERVAL.format(interval_s)
    return [i * (interval_s or UNTOLD_S) for i in range(len(lines))], said


def spread(dates: Sequence[float]) -> list[float]:
    """Times in the order of the lines, never backwards, out of whole seconds."""
    groups = [(second, len(list(group))) for second, group in groupby(_forward(dates))]
    counts = [count for _, count in groups[1:-1]] or [count for _, count in groups]
    usual = median(counts)
    found: list[float] = []
    for number, (second, count) in enumerate(groups):
        if usual < 2 and count == 1:
            found.append(second + 0.5)
            continue
        step_s = 1 / max(usual, count) if number in (0, len(groups) - 1) else 1 / count
        begin_s = second + 1 - count * step_s if number == 0 else second
        found += [begin_s + (i + 0.5) * step_s for i in range(count)]
    return found


def _forward(dates: Sequence[float]) -> list[float]:
    """The dates, each step back taken for one of an hour on: nothing is bridged there."""
    moved, found = 0.0, list(dates[:1])
    for before, now in pairwise(dates):
        if now < before:
            moved += before - now + 3600.0
        found.append(now + moved)
    return found
