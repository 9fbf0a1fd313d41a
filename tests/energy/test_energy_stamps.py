"""When the lines of a log came: by offsets, by dates of whole seconds, or by what is assumed."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from random import Random

import pytest

from prism_edge.energy.stamps import ASSUMED, BY_DATE, BY_OFFSET, date_of, spread, times

LINE = "RAM 1/2MB (lfb 1x1MB) CPU [1%@1] VDD_IN 5000mW/5000mW"
START = datetime(2026, 2, 28, 23, 59, 50)


def dated(moments: list[float]) -> list[str]:
    return [
        f"{(START + timedelta(seconds=t)).strftime('%m-%d-%Y %H:%M:%S')} {LINE}" for t in moments
    ]


@pytest.mark.parametrize("interval_s", [0.05, 0.1, 0.25, 1.0, 1.05, 2.0, 5.0])
def test_dates_give_each_line_its_time_within_a_second(interval_s: float) -> None:
    """Over midnight and the end of a month; at ten lines a second within a tenth of one."""
    random = Random(3)
    moments = [0.37 + i * interval_s + random.uniform(0, 0.01) for i in range(200)]
    found, how = times(dated(moments))
    assert how == BY_DATE
    begin_s = date_of(dated([0.0])[0])
    assert begin_s is not None
    errors = [found_s - begin_s - t for found_s, t in zip(found, moments, strict=True)]
    assert max(map(abs, errors)) <= (0.5 if interval_s >= 1 else 1.2 * interval_s)
    assert all(a < b for a, b in pairwise(found))


def test_a_gap_stays_a_gap() -> None:
    found = spread([0] * 10 + [1] * 10 + [2] * 4 + [60] * 7 + [61] * 10 + [62] * 10)
    assert max(b - a for a, b in pairwise(found)) > 55


def test_a_clock_that_is_set_back_is_not_bridged_and_never_runs_backwards() -> None:
    found = spread([3600.0, 3601.0, 3602.0, 2.0, 3.0, 4.0])
    assert all(a < b for a, b in pairwise(found))
    assert found[3] - found[2] == pytest.approx(3600, abs=1)


def test_offsets_in_the_file_come_first() -> None:
    assert times([f"0.5 {LINE}", f"1.75 {LINE}", f"-3 {LINE}"]) == ([0.5, 1.75, -3.0], BY_OFFSET)


def test_without_dates_the_interval_is_told_or_assumed_and_said_to_be() -> None:
    assert times([LINE] * 3, 0.2) == (
        pytest.approx([0.0, 0.2, 0.4]),
        "one line every 0.2 s, as told",
    )
    assert times([LINE] * 3) == ([0.0, 1.0, 2.0], ASSUMED)
    assert times([]) == ([], ASSUMED)
    some = [*dated([0.0, 1.0]), LINE]  # a date that is missing somewhere: none is used
    assert times(some)[1] == ASSUMED


@pytest.mark.parametrize("line", ["13-45-2026 10:00:00 RAM 1/2MB", "10-10-2026 RAM", "x"])
def test_what_is_no_date_is_none(line: str) -> None:
    assert date_of(line) is None
