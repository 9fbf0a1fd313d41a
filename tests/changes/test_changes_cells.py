"""Repeats belong to the visit in which they were measured, and cells to their description."""

from __future__ import annotations

import dataclasses

from measured import profile

from prism_edge import tables
from prism_edge.changes.cells import TIMED, Cell, cells_of


def row(batch: int, latency_s: float, repeat: int, board: str = "edge-1") -> tables.ComputeRow:
    return tables.ComputeRow(
        board=board,
        model="net",
        batch=batch,
        tokens_own=197,
        tokens_known=197,
        dtype="fp32",
        repeat=repeat,
        latency_s=latency_s,
    )


def compute(*rows: tables.ComputeRow) -> dict[Cell, list[list[float]]]:
    made = dataclasses.replace(profile(), compute=rows, link=())
    return {cell: [list(v) for v in visits] for cell, visits in cells_of(made, {}).items()}


def test_a_visit_ends_when_its_machine_goes_on_to_another_cell() -> None:
    found = compute(row(1, 1.0, 0), row(1, 1.1, 1), row(2, 2.0, 0), row(1, 1.2, 2), row(2, 2.1, 1))
    assert list(found.values()) == [[[1.0, 1.1], [1.2]], [[2.0], [2.1]]]


def test_another_board_in_between_ends_no_visit() -> None:
    found = compute(row(1, 1.0, 0), row(1, 5.0, 0, "edge-2"), row(1, 1.1, 1))
    assert list(found.values()) == [[[1.0, 1.1]], [[5.0]]]


def test_every_row_is_in_one_cell_whatever_columns_its_table_has() -> None:
    made = profile()
    found = cells_of(made, {})
    for table in TIMED:
        held = sum(
            len(visit) for cell, visits in found.items() if cell.table == table for visit in visits
        )
        assert held == len(getattr(made, table))
    assert not any(cell.value("latency_s") or cell.value("repeat") for cell in found)


def test_a_cell_says_in_short_what_it_is() -> None:
    (cell,) = compute(row(4, 1.0, 0))
    assert str(cell) == "edge-1 net batch 4 own 197 known 197 fp32"
    assert cell.place == "compute edge-1"


def test_a_model_under_another_name_is_the_same_model() -> None:
    made = profile()
    renamed = dataclasses.replace(
        made,
        models=(dataclasses.replace(made.models[0], name="other"),),
        compute=tuple(dataclasses.replace(row, model="other") for row in made.compute),
    )
    assert set(cells_of(renamed, {"other": "net"})) == set(cells_of(made, {}))
    assert not set(cells_of(renamed, {})) & {c for c in cells_of(made, {}) if c.table == "compute"}
