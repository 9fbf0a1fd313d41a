"""Progress is lines where nobody watches a terminal, and says how long it will take."""

from __future__ import annotations

import io

import pytest

from prism_edge.profile.progress import Bar, Lines, percent, progress_on, remaining


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_lines_come_at_most_every_five_seconds() -> None:
    now_s = 0.0
    stream = io.StringIO()
    lines = Lines(stream, lambda: now_s)
    for now_s in (0.0, 1.0, 4.9, 5.0, 6.0, 10.1):
        lines.advance(f"at {now_s}", now_s, 20.0)
    lines.close()
    written = stream.getvalue().splitlines()
    assert [line.split("  ")[-1] for line in written] == ["at 0.0", "at 5.0", "at 10.1"]
    assert "25 %  about 15 s left" in written[1]


def left_at(*steps: tuple[float, float, float, float]) -> list[str]:
    """The lines after steps of (now, done, total, already)."""
    stream = io.StringIO()
    times = iter([0.0, *(step[0] for step in steps)])
    lines = Lines(stream, lambda: next(times))
    for _, done, total, already in steps:
        lines.advance("x", done, total, already)
    return stream.getvalue().splitlines()


def test_what_an_earlier_run_did_is_no_pace() -> None:
    """80 of 100 were done before; 5 more took ten seconds, so 15 take thirty."""
    written = left_at((0.0, 80.0, 100.0, 80.0), (10.0, 85.0, 100.0, 80.0))
    assert "80 %  x" in written[0]  # nothing can be said yet
    assert "85 %  about 30 s left" in written[1]


def test_what_has_no_weight_takes_nothing_from_the_pace() -> None:
    """Half a minute of staging and links says nothing about what follows."""
    written = left_at((10.0, 0.0, 40.0, 0.0), (30.0, 0.0, 40.0, 0.0), (40.0, 10.0, 40.0, 0.0))
    assert "25 %  about 30 s left" in written[-1]


@pytest.mark.parametrize(
    ("passed_s", "done", "total", "expected"),
    [
        (10.0, 1.0, 4.0, "about 30 s left  "),
        (10.0, 0.0, 4.0, ""),
        (10.0, 1.0, 0.0, ""),
        (10.0, 5.0, 4.0, "about 0 s left  "),
    ],
)
def test_what_is_left_follows_from_the_pace(
    passed_s: float, done: float, total: float, expected: str
) -> None:
    assert remaining(passed_s, done, total) == expected


def test_more_than_all_is_all() -> None:
    assert percent(5, 4) == 100
    assert percent(0, 0) == 0


def test_a_terminal_gets_a_bar_and_a_file_gets_lines() -> None:
    assert isinstance(progress_on(io.StringIO()), Lines)
    terminal = Terminal()
    bar = progress_on(terminal)
    assert isinstance(bar, Bar)
    bar.advance("compute edge-1", 1.0, 2.0)
    bar.advance("compute edge-2", 3.0, 4.0, 2.5)
    bar.close()
    assert "compute edge-1" in terminal.getvalue()
