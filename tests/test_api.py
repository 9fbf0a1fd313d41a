"""What ``import prism_edge`` offers is decided here, and small."""

from __future__ import annotations

import importlib.util

import prism_edge

EXPORTS = ["PrismError", "__version__"]


def test_exports_are_the_ones_agreed_on() -> None:
    assert prism_edge.__all__ == EXPORTS


def test_exports_are_sorted_and_few() -> None:
    assert prism_edge.__all__ == sorted(set(prism_edge.__all__))
    assert len(prism_edge.__all__) <= 15


def test_every_export_is_there() -> None:
    if importlib.util.find_spec("torch") is None:
        offered = set(vars(prism_edge))  # what is loaded on first use may need torch
        assert {"PrismError", "__version__"} <= offered
    else:
        assert all(hasattr(prism_edge, name) for name in prism_edge.__all__)
