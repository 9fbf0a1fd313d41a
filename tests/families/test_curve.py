"""Runs along the curve are tiles, on a square of any size."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from prism_edge.families.curve import along_curve


@pytest.mark.parametrize("side", [1, 2, 3, 7, 8, 14])
def test_every_cell_is_met_once(side: int) -> None:
    assert sorted(along_curve(side)) == list(range(side * side))


def test_the_next_cell_is_a_neighbour() -> None:
    cells = [divmod(cell, 8) for cell in along_curve(8)]
    assert {abs(a - c) + abs(b - d) for (a, b), (c, d) in pairwise(cells)} == {1}


@pytest.mark.parametrize("size", [2, 4])
def test_whole_runs_are_square_tiles(size: int) -> None:
    cells = [divmod(cell, 8) for cell in along_curve(8)]
    for start in range(0, 64, size * size):
        tile = cells[start : start + size * size]
        assert len({(row // size, column // size) for row, column in tile}) == 1


def scatter(order: list[int], side: int, runs: int) -> float:
    """The mean squared distance of cells from the middle of their run."""
    parts = np.array_split(np.array([divmod(cell, side) for cell in order], dtype=float), runs)
    return float(sum(((part - part.mean(axis=0)) ** 2).sum() for part in parts)) / side**2


@pytest.mark.parametrize(("side", "runs"), [(8, 8), (14, 20), (14, 32), (24, 20)])
def test_runs_are_compacter_than_rows(side: int, runs: int) -> None:
    rows = list(range(side * side))
    assert scatter(along_curve(side), side, runs) < 0.5 * scatter(rows, side, runs)
