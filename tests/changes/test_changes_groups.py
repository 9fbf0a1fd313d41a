"""A machine whose cells have all moved has moved, also when no single cell is sure of it."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from prism_edge.changes.cells import Cell, Visits
from prism_edge.changes.groups import LEAST, groups
from prism_edge.changes.significance import Change, changes


def cells(seed: int, times: float = 1.0, count: int = 20) -> dict[Cell, Visits]:
    """One board whose visits are off by 30 %: no single cell says anything."""
    noise = random.Random(seed)
    return {
        Cell(table="compute", columns=(("board", "edge-1"), ("batch", number))): [
            [times * noise.lognormvariate(0, 0.3)] for _ in range(3)
        ]
        for number in range(count)
    }


def compared(seed: int, times: float = 1.0, count: int = 20) -> tuple[Change, ...]:
    return changes(cells(seed, count=count), cells(seed + 1, times, count), 0.05)


def test_what_no_cell_is_sure_of_all_together_are() -> None:
    found = compared(1, times=2.0)
    (group,) = groups(found, 0.05)
    assert sum(change.significant for change in found) < 5
    assert group.moved
    assert group.low is not None
    assert group.low > 1.4
    assert (group.place, group.cells) == ("compute edge-1", 20)


@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_what_has_not_moved_is_seldom_said_to_have(seed: int) -> None:
    moved = sum(groups(compared(k), 0.05)[0].moved for k in range(seed, seed + 8, 2))
    assert moved <= 1


def test_cells_that_are_sure_weigh_more() -> None:
    def one(number: int, spread: float, times: float, seed: int) -> dict[Cell, Visits]:
        noise = random.Random(seed)
        key = Cell(table="link", columns=(("src", "a"), ("bytes", number)))
        size = 2.0**number
        return {key: [[size * times * noise.lognormvariate(0, spread)] for _ in range(5)]}

    before: dict[Cell, Visits] = {}
    after: dict[Cell, Visits] = {}
    for number in range(12):
        spread = 0.5 if number < 6 else 0.01  # small messages are noisy, and no slower
        before |= one(number, spread, 1.0, number)
        after |= one(number, spread, 1.0 if number < 6 else 1.3, 100 + number)
    (group,) = groups(changes(before, after, 0.1), 0.1)
    assert group.moved
    assert 1.2 < group.ratio < 1.4


def test_few_cells_have_no_interval_and_never_move() -> None:
    (group,) = groups(compared(1, times=9.0, count=LEAST - 1), 0.05)
    assert (group.low, group.high, group.moved) == (None, None, False)
    assert groups((), 0.05) == ()
