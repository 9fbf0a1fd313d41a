"""Moments of a recording as a user writes them: seconds from its start, or a date."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timezone

import typer

EPOCH_S = 1e8  # seconds above are since 1970: no recording is three years long


def windows(
    starts: Sequence[str], stops: Sequence[str], extent: tuple[float, float], *, is_log: bool
) -> list[tuple[float, float]]:
    """Pairs of --from and --to; by default all of the recording."""
    first_s, last_s = extent
    begins = [moment(text, first_s, is_log=is_log) for text in starts] or [first_s]
    ends = [moment(text, first_s, is_log=is_log) for text in stops] or [last_s]
    if len(begins) != len(ends):
        raise typer.BadParameter(
            f"{len(begins)} times --from and {len(ends)} times --to: a window has one of each"
        )
    for begin_s, end_s in zip(begins, ends, strict=True):
        if not end_s > begin_s:
            raise typer.BadParameter(f"a window ends {begin_s - end_s:g} s before it starts")
    return list(zip(begins, ends, strict=True))


def moment(text: str, first_s: float, *, is_log: bool) -> float:
    """On the recording's clock: of a log that is its own date, whatever zone the board is in."""
    try:
        seconds = float(text)
    except ValueError:
        pass
    else:
        if not math.isfinite(seconds):
            raise typer.BadParameter(f"{text!r} is no moment: it is not finite")
        return seconds if abs(seconds) >= EPOCH_S else first_s + seconds
    try:
        date = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no moment: seconds from the first sample, such as 12.5, or a date, such "
            "as 2026-03-01T12:00:00"
        ) from None
    if is_log:
        if date.tzinfo is not None:
            raise typer.BadParameter(f"{text}: dates of a tegrastats log have no zone")
        return date.replace(tzinfo=timezone.utc).timestamp()
    return date.timestamp()


def above_0(option: str, seconds: float | None) -> None:
    """The number is one that can be waited for, if it was given."""
    if seconds is not None and not 0 < seconds < math.inf:
        raise typer.BadParameter(f"{option} is above 0")
