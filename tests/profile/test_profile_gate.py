"""A board waits while it is hot, and is another board once its mode or its clocks change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from prism_edge.profile.board_state import BoardState
from prism_edge.profile.gate import COOL_C, HOT_C, changed, hottest, too_hot

NANO = BoardState(
    temps_c={"cpu": 50.0, "tj": 51.0},
    limits_khz={"policy0": 1497600, "17000000.gpu": 612000},
    power_mode="15W",
)


def test_the_hottest_zone_decides() -> None:
    assert hottest(NANO.temps_c) == ("tj", 51.0)
    assert hottest({}) is None
    assert too_hot(NANO) is None
    assert too_hot(BoardState()) is None  # no zones: nothing can be said
    assert too_hot(replace(NANO, temps_c={"cpu": 50.0, "tj": HOT_C})) == f"tj is at {HOT_C:.0f} C"
    assert too_hot(replace(NANO, temps_c={"tj": COOL_C}), COOL_C)
    assert COOL_C < HOT_C


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (NANO, None),
        (replace(NANO, temps_c={}, load_1m=3.0), None),
        (replace(NANO, power_mode="25W"), "power mode 15W became 25W"),
        (replace(NANO, power_mode=None), None),  # nvpmodel did not answer this time
        (
            replace(NANO, limits_khz={"policy0": 960000, "17000000.gpu": 612000}),
            "clock limit of policy0 became 960 MHz, it was 1497.6 MHz",
        ),
        (replace(NANO, limits_khz={}), None),  # could not be read this time
        (replace(NANO, throttled=("cpufreq-cpu0",)), "it is throttled by cpufreq-cpu0"),
    ],
)
def test_what_changes_a_board(now: BoardState, expected: str | None) -> None:
    assert changed(NANO, now) == expected


def test_a_board_that_was_throttled_from_the_start_has_not_changed() -> None:
    first = replace(NANO, throttled=("Processor",))
    assert changed(first, first) is None


def test_a_mode_that_is_known_late_is_no_change() -> None:
    assert changed(replace(NANO, power_mode=None), NANO) is None
