from __future__ import annotations

import dataclasses
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from measured import ALPHA_S, BANDWIDTH_BPS, profile

from prism_edge.schedule.link import PAYLOAD_SHARE, LinkState, fit_line, fit_links

SIZES = [4096 * 2**power for power in range(9)]


@given(st.floats(1e-5, 0.1), st.floats(1e5, 1e10))
def test_a_line_is_found_to_the_letter(alpha_s: float, bandwidth_bps: float) -> None:
    line = fit_line({size: alpha_s + 8 * size / bandwidth_bps for size in SIZES})
    assert line.alpha_s == pytest.approx(alpha_s, rel=1e-3)
    assert line.bandwidth_bps == pytest.approx(bandwidth_bps, rel=1e-2)
    assert line.error < 1e-6


@given(st.dictionaries(st.sampled_from(SIZES), st.floats(1e-6, 10), min_size=2))
def test_neither_number_is_ever_negative(medians: dict[int, float]) -> None:
    line = fit_line(medians)
    assert line.alpha_s >= 0
    assert line.bandwidth_bps > 0
    assert math.isfinite(line.error)


def test_small_messages_weigh_as_much_as_large_ones() -> None:
    medians = {size: 0.001 + 8 * size / 100e6 for size in SIZES}
    medians[SIZES[-1]] *= 1.10  # ten percent of the largest is 80 times what a message costs
    assert fit_line(medians).alpha_s == pytest.approx(0.001, rel=0.1)


def test_noise_is_reported_as_error() -> None:
    rng = random.Random(0)
    medians = {size: (0.001 + 8 * size / 100e6) * rng.uniform(0.8, 1.2) for size in SIZES}
    assert 0.02 < fit_line(medians).error < 0.2


def test_a_link_without_bytes_to_pay_for_has_no_limit() -> None:
    line = fit_line({4096: 0.002, 8192: 0.002, 65536: 0.001})
    assert line.bandwidth_bps == math.inf
    assert LinkState(alpha_s=0.0, bandwidth_bps=math.inf, source="table").exchange_s(1e9) == 0


def test_the_table_becomes_one_state() -> None:
    links = fit_links(profile().link)
    assert links is not None
    assert not links.half_duplex
    assert links.oneway.alpha_s == pytest.approx(ALPHA_S / 2)
    assert links.state.source == "table"
    assert links.state.alpha_s == pytest.approx(ALPHA_S)
    assert links.state.bandwidth_bps == pytest.approx(BANDWIDTH_BPS)


def test_a_given_rate_keeps_the_messages_and_loses_the_headers() -> None:
    links = fit_links(profile().link)
    assert links is not None
    state = links.given(50e6)
    assert state.source == "given"
    assert state.alpha_s == links.state.alpha_s
    assert state.bandwidth_bps == pytest.approx(50e6 * PAYLOAD_SHARE)
    assert 0.9 < PAYLOAD_SHARE < 1


def test_a_shared_medium_is_recognised() -> None:
    links = fit_links(profile(half_duplex=True).link)
    assert links is not None
    assert links.half_duplex
    assert links.state.bandwidth_bps == pytest.approx(BANDWIDTH_BPS)  # the medium's, both ways
    # an exchange of s bytes each way moves 2 s
    assert links.state.exchange_s(2 * 65536) == pytest.approx(ALPHA_S + 16 * 65536 / BANDWIDTH_BPS)


def test_the_slowest_pair_counts() -> None:
    rows = list(profile(boards=3).link)
    slow = [
        dataclasses.replace(row, latency_s=3 * row.latency_s) if row.dst == "edge-3" else row
        for row in rows
    ]
    links = fit_links(slow)
    assert links is not None
    assert links.state.bandwidth_bps == pytest.approx(BANDWIDTH_BPS / 3)


def test_the_median_of_repeats_counts() -> None:
    rows = [
        dataclasses.replace(row, latency_s=100 * row.latency_s) if row.repeat == 0 else row
        for row in profile().link
    ]
    links = fit_links(rows)
    assert links is not None
    assert links.state.bandwidth_bps == pytest.approx(BANDWIDTH_BPS)


def test_one_kind_of_transfer_stands_for_the_other() -> None:
    only = fit_links(row for row in profile().link if row.op == "oneway")
    assert only is not None
    assert only.exchange == only.oneway


def test_too_little_is_nothing() -> None:
    rows = profile().link
    assert fit_links([]) is None
    assert fit_links(row for row in rows if row.bytes == 4096) is None
    assert fit_links(dataclasses.replace(row, world=3) for row in rows) is None


@pytest.mark.parametrize(
    ("alpha_s", "bandwidth_bps"), [(-1.0, 1e6), (math.nan, 1e6), (0.0, 0.0), (0.0, math.nan)]
)
def test_impossible_links(alpha_s: float, bandwidth_bps: float) -> None:
    with pytest.raises(ValueError, match="allowed is"):
        LinkState(alpha_s=alpha_s, bandwidth_bps=bandwidth_bps, source="given")
