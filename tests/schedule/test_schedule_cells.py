from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from measured import BERT, GPT2, VIT, compute_s, profile

from prism_edge.layout import ModelShape, block_macs, token_layout
from prism_edge.plan import LOCAL, Plan
from prism_edge.schedule.cells import Cells, Spread
from prism_edge.tables import ComputeRow


def row(own: int, known: int, batch: int, latency_s: float) -> ComputeRow:
    return ComputeRow(
        board="edge-1",
        model="net",
        batch=batch,
        tokens_own=own,
        tokens_known=known,
        dtype="fp32",
        repeat=0,
        latency_s=latency_s,
    )


def vit_cells() -> Cells:
    return Cells(VIT, [item for item in profile().compute if item.board == "edge-1"])


@pytest.mark.parametrize("shape", [VIT, BERT, GPT2])
def test_operations_of_a_cell_are_the_layouts(shape: ModelShape) -> None:
    tokens = min(shape.tokens, 197)
    plan = Plan.parse("prism:p=3,l=7,dtype=fp16")
    for layout in (token_layout(LOCAL, shape, tokens), token_layout(plan, shape, tokens)):
        for rank in range(layout.ranks):
            counted = block_macs(shape, layout.own[rank], layout.known(rank))
            assert counted == layout.macs(rank)


def test_a_measured_cell_is_its_median() -> None:
    found = vit_cells().time(99, 109, 4)
    assert found is not None
    assert found.mid_s == pytest.approx(compute_s(VIT, 99, 109, 4))
    assert found.low_s < found.mid_s < found.high_s


def test_batches_between_measured_ones_are_linear() -> None:
    for batch in (3, 5, 6, 7):
        found = vit_cells().time(99, 109, batch)
        assert found is not None
        assert found.mid_s == pytest.approx(compute_s(VIT, 99, 109, batch))


def test_cells_between_measured_ones_are_linear_in_operations() -> None:
    found = vit_cells().time(99, 119, 4)  # l = 20 was not measured
    assert found is not None
    assert found.mid_s == pytest.approx(compute_s(VIT, 99, 119, 4))


def test_both_at_once() -> None:
    found = vit_cells().time(99, 119, 6)
    assert found is not None
    assert found.mid_s == pytest.approx(compute_s(VIT, 99, 119, 6))


@pytest.mark.parametrize(
    ("own", "known", "batch"),
    [(197, 197, 9), (197, 197, 16), (198, 198, 1), (98, 98, 1), (20, 30, 4), (99, 109, 100)],
)
def test_nothing_is_extrapolated(own: int, known: int, batch: int) -> None:
    assert vit_cells().time(own, known, batch) is None


def test_no_rows_no_times() -> None:
    assert Cells(VIT, []).time(197, 197, 1) is None


def test_a_cell_missing_at_one_batch_is_taken_from_its_own_batches_first() -> None:
    cells = Cells(
        VIT,
        [
            row(99, 109, 1, 1.0),
            row(99, 109, 3, 3.0),
            row(90, 90, 2, 10.0),  # neighbours in operations would say 15
            row(197, 197, 2, 20.0),
        ],
    )
    found = cells.time(99, 109, 2)
    assert found is not None
    assert found.mid_s == 2.0


def test_one_outlier_does_not_move_the_median() -> None:
    assert Spread.of([1.0, 1.0, 1.0, 1.0, 50.0]).mid_s == 1


@given(st.floats(0, 1))
def test_towards_goes_there(share: float) -> None:
    found = Spread(1, 2, 3).towards(Spread(2, 4, 6), share)
    assert (found.low_s, found.mid_s, found.high_s) == pytest.approx(
        (1 + share, 2 + 2 * share, 3 + 3 * share)
    )
