"""Boards whose clocks differ are put on one clock, within the bound that was measured."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from prism_edge.energy import clocks
from prism_edge.energy.clocks import Offset, aligned, bound, measured, offsets
from prism_edge.energy.rows import EventRow
from prism_edge.energy.sample import Sample

SAMPLES = [
    Sample(board="edge-2", t_s=100.0 + i / 10, power_w=float(i), source="sensor") for i in range(50)
]


def test_the_offset_is_within_its_bound_however_slow_the_ways_are() -> None:
    random = Random(5)
    for _ in range(500):
        ahead_s = random.uniform(-1e4, 1e4)
        sent_s, there_s, back_s = 1e6, random.expovariate(50), random.expovariate(50)
        leader_s = sent_s + there_s - ahead_s
        found = measured(sent_s, sent_s + there_s + back_s, leader_s)
        assert abs(found.offset_s - ahead_s) <= found.bound_s + 1e-9


def test_offsets_ride_in_events_and_damaged_ones_are_left_out() -> None:
    early, late = Offset(offset_s=0.2, bound_s=0.01), Offset(offset_s=0.5, bound_s=0.002)
    rows = [
        clocks.event("edge-2", late, 9.0),
        EventRow(t_s=1.0, kind="clock", detail="{}"),
        EventRow(t_s=1.0, kind="clock", detail=None),
        EventRow(
            t_s=1.0, kind="clock", detail='{"board": "edge-2", "offset_s": NaN, "bound_s": 1}'
        ),
        EventRow(t_s=1.0, kind="epoch", detail='{"board": "edge-2"}'),
        clocks.event("edge-2", early, 3.0),
    ]
    assert offsets(rows) == {"edge-2": [(3.0, early), (9.0, late)]}
    assert bound(offsets(rows)["edge-2"]) == 0.01
    assert bound([]) is None


def test_samples_are_moved_by_the_offset_of_their_time() -> None:
    told = [(100.0, Offset(offset_s=7.0, bound_s=0.0)), (102.0, Offset(offset_s=8.0, bound_s=0.0))]
    moved = aligned(SAMPLES, told)
    assert moved[0].t_s == pytest.approx(93.0)
    assert [one.power_w for one in moved] == [one.power_w for one in SAMPLES]
    assert moved[19].t_s == pytest.approx(101.9 - 7)
    assert moved[20].t_s == pytest.approx(102.0 - 8)
    earlier = [replace(SAMPLES[0], t_s=1.0)]  # before the first was told: by the first
    assert aligned(earlier, told)[0].t_s == pytest.approx(-6.0)
    assert aligned(SAMPLES, []) == SAMPLES


def test_a_new_offset_is_told_when_it_says_something_new() -> None:
    known = Offset(offset_s=0.1, bound_s=0.01)
    assert not Offset(offset_s=0.115, bound_s=0.01).differs(known)
    assert Offset(offset_s=0.13, bound_s=0.01).differs(known)
    assert Offset(offset_s=0.1, bound_s=0.004).differs(known)


@pytest.mark.parametrize(("offset_s", "bound_s"), [(float("nan"), 0.1), (0.0, -1.0)])
def test_nonsense_is_no_offset(offset_s: float, bound_s: float) -> None:
    with pytest.raises(ValueError, match="no clock offset"):
        Offset(offset_s=offset_s, bound_s=bound_s)
