"""Numbers as people read them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_edge.report import units


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1.4716, "1.47"),
        (15.64, "15.6"),
        (201.4, "201"),
        (1234.5, "1,230"),
        (0.000123456, "0.000123"),
        (-2.5, "-2.50"),
        (9.999, "10.0"),
        (float("inf"), "inf"),
    ],
)
def test_digits(value: float, text: str) -> None:
    assert units.digits(value) == text


@given(st.floats(1e-9, 1e9))
def test_three_digits_are_within_half_a_percent(value: float) -> None:
    text = units.digits(value)
    assert "e" not in text
    assert float(text.replace(",", "")) == pytest.approx(value, rel=0.00501)


@pytest.mark.parametrize(
    ("value_s", "text"),
    [
        (None, "n/a"),
        (0.7719, "772 ms"),
        (1.4716, "1.47 s"),
        (0.9996, "1.00 s"),
        (0.00061, "610 µs"),
        (0.0, "0 ms"),
        (61.2, "61.2 s"),
    ],
)
def test_seconds(value_s: float | None, text: str) -> None:
    assert units.seconds(value_s) == text


@pytest.mark.parametrize(
    ("value_s", "text"),
    [(0, "0:00"), (59.6, "1:00"), (466.1, "7:46"), (3725, "1:02:05"), (-3, "−0:03")],
)
def test_elapsed(value_s: float, text: str) -> None:
    assert units.elapsed(value_s) == text


def test_unknown_is_never_zero() -> None:
    for name in ("seconds", "joules", "watts", "times", "percent", "change", "size"):
        assert getattr(units, name)(None) == "n/a", name
    assert units.bits_per_second(None) == "n/a"


def test_each_quantity_has_its_unit() -> None:
    assert units.joules(15.637) == "15.6 J"
    assert units.watts(20.07) == "20.1 W"
    assert (units.times(0.963), units.times(9.43), units.times(12.34)) == (
        "0.96×",
        "9.43×",
        "12.3×",
    )
    assert (units.percent(0.034), units.percent(0.766)) == ("3.4 %", "77 %")
    assert (units.change(-0.22), units.change(0.015)) == ("−22 %", "+1.5 %")
    assert units.bits_per_second(95.6e6) == "95.6 Mbit/s"
    assert units.bits_per_second(2.5e9) == "2.50 Gbit/s"
    assert units.bits_per_second(900) == "900 bit/s"
    assert (units.size(1_714_176), units.size(512)) == ("1.71 MB", "512 B")


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        ("754 ms", "793 ms", "754–793 ms"),
        ("980 ms", "1.02 s", "980 ms – 1.02 s"),
        ("1.84×", "1.97×", "1.84–1.97×"),
        ("n/a", "n/a", ""),
    ],
)
def test_interval_says_the_unit_once(low: str, high: str, text: str) -> None:
    assert units.interval(low, high) == text
    assert not re.search(r"n/a", units.interval(low, high))
