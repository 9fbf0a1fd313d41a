"""Whether a board may measure its next cell: not too hot, and still the board it was. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from prism_edge.profile.board_state import BoardState

# An Orin Nano slows down from 95 C on (its device tree's passive trip point).
HOT_C = 85.0
COOL_C = 75.0  # a board that was too hot goes on below this
PAUSE_S = 120.0  # at most, before a cell


def hottest(temps_c: Mapping[str, float]) -> tuple[str, float] | None:
    """The zone that is hottest; None on a board without any."""
    return max(temps_c.items(), key=lambda zone: zone[1], default=None)


def too_hot(state: BoardState, limit_c: float = HOT_C) -> str | None:
    """What is too hot, in words; None when nothing is."""
    found = hottest(state.temps_c)
    return f"{found[0]} is at {found[1]:.0f} C" if found and found[1] >= limit_c else None


def changed(first: BoardState, now: BoardState) -> str | None:
    """What makes the board another one than at the start, in words; None when it is the same. What
    could not be read once has not changed."""
    if first.power_mode and now.power_mode and first.power_mode != now.power_mode:
        return f"power mode {first.power_mode} became {now.power_mode}"
    for name, before in first.limits_khz.items():
        limit = now.limits_khz.get(name, before)
        if limit != before:
            return f"clock limit of {name} became {limit / 1e3:g} MHz, it was {before / 1e3:g} MHz"
    new = [name for name in now.throttled if name not in first.throttled]
    return f"it is throttled by {', '.join(new)}" if new else None
