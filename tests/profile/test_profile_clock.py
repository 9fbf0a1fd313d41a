"""A clock that is set is noticed, with its size; one that passes is not."""

from __future__ import annotations

import pytest

from prism_edge.profile.clock import WallClock


class Times:
    """A wall clock and a steady one, moved by hand."""

    def __init__(self) -> None:
        self.wall_s, self.steady_s = 1_700_000_000.0, 50.0

    def clock(self) -> WallClock:
        return WallClock(lambda: self.wall_s, lambda: self.steady_s)

    def passes(self, seconds: float, *, wall: float | None = None) -> None:
        self.steady_s += seconds
        self.wall_s += seconds if wall is None else wall


def test_time_that_passes_is_no_jump() -> None:
    times = Times()
    clock = times.clock()
    times.passes(3600)
    assert clock.jump() is None
    times.passes(3600, wall=3601.8)  # NTP slews by half a millisecond in a second
    assert clock.jump() is None


@pytest.mark.parametrize(("wall", "said"), [(3610, "forward by 3600 s"), (-50, "back by 60 s")])
def test_a_jump_is_said_once_with_its_size(wall: float, said: str) -> None:
    times = Times()
    clock = times.clock()
    times.passes(10, wall=wall)
    assert said in str(clock.jump())
    times.passes(10)
    assert clock.jump() is None


def test_now_is_a_time_of_day_with_a_zone() -> None:
    assert Times().clock().now() == "2023-11-14T22:13:20+00:00"


def test_a_past_that_lies_ahead_is_said() -> None:
    times = Times()
    clock = times.clock()
    began = clock.now()
    times.passes(5)
    assert clock.behind(began) is None
    times.passes(5, wall=-100)
    assert "95 s from now" in str(clock.behind(began))
    assert "no time of day" in str(clock.behind("yesterday"))
    assert "no time of day" in str(clock.behind("2023-11-14T22:13:20"))
