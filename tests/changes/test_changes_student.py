"""The closed form is Student's distribution, as tables of it have it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prism_edge.changes.student import chance_beyond, half_width


@pytest.mark.parametrize(
    ("freedom", "t"), [(2, 4.303), (4, 2.776), (6, 2.447), (10, 2.228), (30, 2.042)]
)
def test_95_percent_as_in_any_table(freedom: int, t: float) -> None:
    assert half_width(0.05, freedom) == pytest.approx(t, abs=5e-4)
    assert chance_beyond(t, freedom) == pytest.approx(0.05, abs=5e-5)


def test_many_degrees_are_nearly_normal() -> None:
    assert chance_beyond(1.96, 1000) == pytest.approx(math.erfc(1.96 / math.sqrt(2)), abs=5e-4)


@given(st.floats(0, 1e6), st.integers(0, 60))
def test_it_is_a_chance_and_odd_degrees_claim_no_more_than_even_ones(t: float, odd: int) -> None:
    assert 0 <= chance_beyond(t, odd) <= 1
    assert chance_beyond(t, odd) >= chance_beyond(t, odd + 2) - 1e-9
