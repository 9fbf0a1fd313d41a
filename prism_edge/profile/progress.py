"""Progress of long work on stderr: a bar on a terminal, a line now and then elsewhere.

The time left follows from the pace of this run alone: what an earlier run did took none of its
time, and what came before the first part with a weight says nothing about the others.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Protocol, TextIO

LINE_EVERY_S = 5.0


class Progress(Protocol):
    """Hears what has been done; ``total`` may be corrected with every call. ``already``: how much
    of it was done before this run."""

    def advance(self, text: str, done: float, total: float, already: float = 0.0) -> None:
        """``done`` of ``total`` are through, the last one is called ``text``."""
        ...

    def close(self) -> None:
        """Nothing more will come."""
        ...


class Lines:
    """Plain lines, at most one in ``LINE_EVERY_S``."""

    def __init__(self, stream: TextIO, now: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._now = stream, now
        self._start_s = self._since_s = now()
        self._last_s = -LINE_EVERY_S

    def advance(self, text: str, done: float, total: float, already: float = 0.0) -> None:
        now_s = self._now()
        if done <= already:
            self._since_s = now_s  # nothing with a weight yet
        passed_s = now_s - self._start_s
        if passed_s - self._last_s >= LINE_EVERY_S:
            self._last_s = passed_s
            left = remaining(now_s - self._since_s, done, total, already)
            line = f"{passed_s:5.0f} s  {percent(done, total):3d} %  {left}{text}"
            print(line, file=self._stream, flush=True)

    def close(self) -> None:
        pass


class Bar:
    """One live line with a bar, by rich."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Rich

        self._rich = Rich(
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=Console(file=stream),
            transient=True,
        )
        self._task = self._rich.add_task("starting")
        self._already = 0.0
        self._rich.start()

    def advance(self, text: str, done: float, total: float, already: float = 0.0) -> None:
        if already != self._already:  # a start of its own, so that it is not taken for speed
            self._already = already
            self._rich.reset(self._task, completed=int(already), total=total)
        self._rich.update(self._task, description=text, completed=done, total=total)

    def close(self) -> None:
        self._rich.stop()


def progress_on(stream: TextIO | None = None) -> Progress:
    """A bar when ``stream`` (stderr) is a terminal, lines otherwise."""
    stream = stream or sys.stderr
    return Bar(stream) if stream.isatty() else Lines(stream)


def remaining(passed_s: float, done: float, total: float, already: float = 0.0) -> str:
    """How long the rest will take at the pace of ``done - already`` in ``passed_s``; empty when
    nothing can be said yet."""
    if done <= already or total <= 0:
        return ""
    return f"about {max(0.0, passed_s * (total - done) / (done - already)):.0f} s left  "


def percent(done: float, total: float) -> int:
    return min(100, round(100 * done / total)) if total > 0 else 0
