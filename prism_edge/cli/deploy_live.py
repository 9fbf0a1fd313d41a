"""What boards are doing: a line each that changes on a terminal, plain lines anywhere else."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

_QUIET_S = 5.0  # between lines about one board that are the same up to their figures


@contextmanager
def shown(boards: Sequence[str]) -> Iterator[Callable[[str, str], None]]:
    """Tells on stderr what a board does now; without a board's name: what all do."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table
    from rich.text import Text

    now = dict.fromkeys(boards, "")
    began_s = dict.fromkeys(boards, time.monotonic())

    def table() -> Table:
        grid = Table.grid(padding=(0, 2))
        for name, text in now.items():
            seconds = f"{time.monotonic() - began_s[name]:.0f} s" if name in began_s else ""
            grid.add_row(Text(name), Text(seconds, justify="right"), Text(text))
        return grid

    console = Console(stderr=True)
    with Live(console=console, get_renderable=table, refresh_per_second=4, transient=True):
        yield lambda board, text: now.__setitem__(board, text)


class _Lines:
    """A line per change; figures that only grow are told every few seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: dict[str, tuple[str, float]] = {}

    def __call__(self, board: str, text: str) -> None:
        head, now_s = text.partition(":")[0], time.monotonic()
        with self._lock:
            before, told_s = self._last.get(board, ("", 0.0))
            if head == before and now_s - told_s < _QUIET_S:
                return
            self._last[board] = head, now_s
            print(f"{board}: {text}" if board else text, file=sys.stderr, flush=True)
