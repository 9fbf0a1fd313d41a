"""One value that is no number is found wherever it is; large ones are numbers."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prism_edge.tensors.finite import finite

NAN, INFINITE = float("nan"), float("inf")


@given(
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False)),
    st.sampled_from([torch.float32, torch.bfloat16, torch.float64]),
)
def test_numbers_are_finite_whatever_their_sum(values: list[float], dtype: torch.dtype) -> None:
    x = torch.tensor(values).clamp(-3e38, 3e38).to(dtype)
    assert finite(x)


@given(
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=70),
    st.integers(0),
    st.sampled_from([NAN, INFINITE, -INFINITE]),
)
def test_one_value_that_is_none_is_found(values: list[float], at: int, odd: float) -> None:
    values[at % len(values)] = odd
    assert not finite(torch.tensor(values))


@pytest.mark.parametrize("odd", [[INFINITE, -INFINITE], [NAN, NAN]])
def test_two_of_them_do_not_cancel(odd: list[float]) -> None:
    assert not finite(torch.tensor(odd))


def test_a_sum_that_overflows_is_looked_into() -> None:
    assert not bool(torch.full((9,), 3e38).sum().isfinite())
    assert finite(torch.full((9,), 3e38))
    assert finite(torch.full((9,), 6e4, dtype=torch.float16))


def test_whole_numbers_and_nothing_are_finite() -> None:
    assert finite(torch.zeros(0))
    assert finite(torch.arange(3))
