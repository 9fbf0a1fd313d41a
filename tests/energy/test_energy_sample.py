"""A sample is complete and finite, or it does not exist."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from prism_edge.energy.sample import Sample

GOOD = Sample(board="edge-1", t_s=1.7e9, power_w=4.5, source="sensor", monotonic_s=12.0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("board", ""),
        ("t_s", float("nan")),
        ("t_s", float("inf")),
        ("power_w", float("nan")),
        ("power_w", float("-inf")),
        ("source", "guessed"),
    ],
)
def test_refused_values_are_named(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=field):
        dataclasses.replace(GOOD, **{field: value})


def test_negative_power_is_a_reading() -> None:
    assert dataclasses.replace(GOOD, power_w=-0.1).power_w == -0.1


def test_samples_are_values() -> None:
    assert dataclasses.replace(GOOD) == GOOD
    with pytest.raises(dataclasses.FrozenInstanceError):
        GOOD.power_w = 0.0  # type: ignore[misc]
