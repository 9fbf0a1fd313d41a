"""Rates read back what was written; a link becomes tc and ip arguments."""

from __future__ import annotations

import pytest

from prism_edge.cluster.shaping import Link, burst_bytes, format_rate, parse_rate, plug, queue_bytes
from prism_edge.cluster.shaping import shape as shape_argv
from prism_edge.errors import PrismError, SettingsError


@pytest.mark.parametrize(
    ("text", "rate_bps"),
    [
        ("100mbit", 100e6),
        ("1.5gbit", 1.5e9),
        ("800kbit", 800e3),
        ("9600bit", 9600.0),
        (" 20 Mbit/s ", 20e6),
        ("0.5MBIT", 500e3),
    ],
)
def test_a_rate_is_bits_per_second(text: str, rate_bps: float) -> None:
    assert parse_rate(text) == rate_bps


@pytest.mark.parametrize(
    "text",
    # mbps means bytes to tc; a bare number has no unit; the rest is not a rate at all
    ["", "fast", "100", "100mbps", "-5mbit", "1e6bit", "1,5gbit", "mbit", "100mbit/h", "nanbit"],
)
def test_what_is_no_rate_is_refused_with_the_forms_that_are_allowed(text: str) -> None:
    with pytest.raises(SettingsError, match=r"800kbit, 100mbit or 1\.5gbit") as caught:
        parse_rate(text)
    assert isinstance(caught.value, PrismError)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("rate_bps", "text"),
    [(100e6, "100mbit"), (1.5e9, "1.5gbit"), (800e3, "800kbit"), (9600, "9.6kbit"), (8e3, "8kbit")],
)
def test_a_rate_is_printed_in_the_largest_unit_that_fits(rate_bps: float, text: str) -> None:
    assert format_rate(rate_bps) == text


def test_what_is_printed_is_read_back() -> None:
    for exponent in range(12, 36):
        rate_bps = 2.0**exponent * 1.37
        assert parse_rate(format_rate(rate_bps)) == pytest.approx(rate_bps, rel=1e-5)


@pytest.mark.parametrize("rate_bps", [0.0, -1.0, 7999.0, 101e9, float("nan"), float("inf")])
def test_a_link_refuses_rates_that_the_kernel_cannot_shape(rate_bps: float) -> None:
    with pytest.raises(SettingsError, match="8kbit to 100gbit"):
        Link(rate_bps=rate_bps)


def test_a_message_of_64_kib_sees_the_rate() -> None:
    """At most a tenth of it may pass in the burst, up to 200 Mbit/s; a quarter at 500."""
    for rate_bps, share in [(1e6, 0.1), (20e6, 0.1), (100e6, 0.1), (200e6, 0.1), (500e6, 0.25)]:
        assert burst_bytes(rate_bps) <= share * 65536


def test_the_burst_holds_two_frames_and_lasts_a_quarter_millisecond() -> None:
    for rate_bps in [8e3, 1e6, 100e6, 1e9, 10e9]:
        assert burst_bytes(rate_bps) >= 2 * 1514
        assert burst_bytes(rate_bps) * 8 >= rate_bps * 0.25e-3


def test_the_queue_holds_a_flight_of_64_kib_and_is_bounded_in_time() -> None:
    for rate_bps in [8e3, 1e6, 100e6, 1e9]:
        assert queue_bytes(rate_bps) >= 65536
    assert queue_bytes(100e6) * 8 / 100e6 == pytest.approx(0.2)


def test_shaping_is_one_tc_command_that_can_be_repeated() -> None:
    assert " ".join(shape_argv("eth0", Link(rate_bps=20e6))) == (
        "tc qdisc replace dev eth0 root tbf rate 20000000bit burst 3200 limit 500000"
    )


def test_plugging_is_one_ip_command() -> None:
    unplug = plug("port2", Link(rate_bps=1e6, up=False))
    assert " ".join(unplug) == "ip link set dev port2 down"
    assert " ".join(plug("port2", Link(rate_bps=1e6))) == "ip link set dev port2 up"
