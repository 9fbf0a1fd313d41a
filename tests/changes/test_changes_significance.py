"""The same is never called changed; what changed is found; chance is mostly let be."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prism_edge.changes.cells import Cell, Visits
from prism_edge.changes.significance import FLOORS, changes, false_discoveries

FLOOR = FLOORS["boards"]
Cells = dict[Cell, Visits]


def cell(number: int, table: str = "compute", board: str = "edge-1") -> Cell:
    return Cell(table=table, columns=(("board", board), ("batch", number)))


def measured(
    seed: int,
    count: int = 40,
    visits: int = 3,
    factor: Callable[[Cell], float] = lambda _: 1.0,
    run: float = 0.0,
) -> Cells:
    """Cells from 10 ms up, of two tables on two boards each; visits are off by 2 %, repeats by 1 %,
    and a whole run moves each cell by ``run``."""
    noise = random.Random(seed)
    found: Cells = {}
    for table in ("compute", "link"):
        for board in ("edge-1", "edge-2"):
            for number in range(count // 4):
                key = cell(number, table, board)
                middle = 0.01 * 1.3**number * factor(key) * noise.lognormvariate(0, run)
                found[key] = [
                    [at * noise.lognormvariate(0, 0.01) for _ in range(3)]
                    for at in (middle * noise.lognormvariate(0, 0.02) for _ in range(visits))
                ]
    return found


def called(a: Mapping[Cell, Visits], b: Mapping[Cell, Visits]) -> set[Cell]:
    return {change.cell for change in changes(a, b, FLOOR) if change.significant}


@settings(max_examples=10)
@given(st.integers(0, 1 << 30), st.integers(1, 5))
def test_a_profile_has_not_changed_against_itself(seed: int, visits: int) -> None:
    made = measured(seed, visits=visits)
    found = changes(made, made, FLOOR)
    assert len(found) == len(made)
    assert all(change.ratio == 1 and change.q == 1 and not change.significant for change in found)


@settings(max_examples=15)
@given(st.integers(0, 39), st.sampled_from((0.5, 1 / 1.5, 1.5, 3.0)))
def test_one_changed_cell_is_found_and_no_other(number: int, times: float) -> None:
    before = measured(7)
    other = list(before)[number]
    after = {**before, other: [[times * at for at in visit] for visit in before[other]]}
    assert called(before, after) == {other}


@given(st.integers(0, 39))
@settings(max_examples=5)
def test_a_cell_scaled_by_one_is_not(number: int) -> None:
    before = measured(7)
    other = list(before)[number]
    after = {**before, other: [[1.0 * at for at in visit] for visit in before[other]]}
    assert called(before, after) == set()


@pytest.mark.parametrize("run", [0.0, 0.03, 0.1])
def test_two_runs_of_the_same_agree_in_at_least_95_percent(run: float) -> None:
    wrong = sum(
        len(called(measured(2 * seed, run=run), measured(2 * seed + 1, run=run)))
        for seed in range(10)
    )
    assert wrong <= 0.05 * 10 * 40


def test_without_the_chance_of_runs_they_would_not() -> None:
    """The control of the test above: a naive comparison of repeats calls most cells changed."""
    before, after = measured(0, run=0.1), measured(1, run=0.1)
    apart = 0
    for key in before:
        lows = [min(at for visit in held[key] for at in visit) for held in (before, after)]
        highs = [max(at for visit in held[key] for at in visit) for held in (before, after)]
        apart += max(lows) > min(highs)
    assert apart > 0.3 * len(before)


@pytest.mark.parametrize("run", [0.0, 0.03])
def test_a_table_that_became_slower_is_found_in_a_noisy_lab(run: float) -> None:
    def slower(key: Cell) -> float:
        return 1.3 if key.table == "link" else 1.0

    before, after = measured(1, run=run), measured(2, factor=slower, run=run)
    found = called(before, after)
    assert sum(key.table == "link" for key in found) >= 18  # of 20
    assert sum(key.table == "compute" for key in found) <= 1


def test_a_change_under_the_floor_is_none_however_sure() -> None:
    before = {cell(number): [[0.01 * (number + 1)] * 5] * 5 for number in range(10)}

    def scaled(times: float) -> Cells:
        return {key: [[times * at for at in v] for v in visits] for key, visits in before.items()}

    assert called(before, scaled(1 + 0.9 * FLOOR)) == set()
    assert called(before, scaled(1 + 1.1 * FLOOR)) == set(before)


def test_times_of_zero_are_compared_too() -> None:
    nothing = {cell(0): [[0.0, 0.0]]}
    assert called(nothing, nothing) == set()
    assert changes(nothing, {cell(0): [[0.0, 1.0]]}, FLOOR)[0].ratio > 1
    assert changes({}, nothing, FLOOR) == ()


def test_false_discoveries_as_in_the_paper() -> None:
    """Benjamini and Hochberg 1995, section 4.3: of these 15 chances four are called at 5 %."""
    chances = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240]
    chances += [0.4262, 0.5719, 0.6528, 0.7590, 1.0]
    shares = false_discoveries(chances)
    assert sum(share <= 0.05 for share in shares) == 4
    assert shares == sorted(shares)
    assert false_discoveries(chances[::-1]) == shares[::-1]
    assert false_discoveries([]) == []
