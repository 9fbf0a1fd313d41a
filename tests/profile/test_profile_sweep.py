"""The sweep holds every cell that any candidate plan needs, once, and nothing that does not fit."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rehearsal import GPT2, VIT

from prism_edge.errors import PlanError, SettingsError
from prism_edge.layout import ModelShape, batch_shares, token_layout
from prism_edge.plan import Plan
from prism_edge.profile.sweep import (
    Sweep,
    Wish,
    candidates,
    lengths,
    plan_sweep,
    shuffled,
)

QUICK = Wish(quick=True, ls=(10,))


def keys(sweep: Sweep, board: int) -> list[tuple[int, int, int]]:
    return [(cell.batch, cell.own, cell.known) for cell in sweep.cells[board]]


def test_two_boards_and_a_vit_make_the_cells_of_the_paper() -> None:
    sweep = plan_sweep({"vit": VIT}, 2, QUICK)
    local = [(batch, 197, 197) for batch in (1, 2, 4, 8)]
    leader = [(batch, 99, 109) for batch in (1, 2, 4, 8)]
    full = [(batch, 99, 197) for batch in (1, 2, 4, 8)]
    assert sorted(keys(sweep, 0)) == sorted([*local, *leader, *full])
    # the worker never answers a batch of 8 alone: its largest share is 4
    shares = [(batch, 197, 197) for batch in (1, 2, 4)]
    worker = [(batch, 98, known) for batch in (1, 2, 4, 8) for known in (108, 197)]
    assert sorted(keys(sweep, 1)) == sorted([*shares, *worker])


@pytest.mark.parametrize("shape", [VIT, GPT2])
@given(
    boards=st.integers(1, 5),
    batches=st.sets(st.integers(1, 9), min_size=1, max_size=3),
    ls=st.sets(st.integers(1, 60), max_size=3),
    quick=st.booleans(),
)
def test_every_part_of_every_plan_that_fits_is_a_cell_of_its_board(
    shape: ModelShape, boards: int, batches: set[int], ls: set[int], quick: bool
) -> None:
    wish = Wish(batches=tuple(batches), ls=tuple(ls), quick=quick)
    sweep = plan_sweep({"m": shape}, boards, wish)
    held = [{cell.key for cell in cells} for cells in sweep.cells]
    assert [len(found) for found in held] == [len(cells) for cells in sweep.cells]  # each once
    needed: list[set[Any]] = [set() for _ in range(boards)]
    for tokens in lengths(shape, wish):
        for plan in candidates(boards, sorted(ls)):
            for batch in batches:
                if plan.method == "split" and batch < plan.p:
                    continue
                try:
                    layout = token_layout(plan, shape, tokens)
                except PlanError:
                    continue
                for rank in range(plan.p):
                    share = batch_shares(plan, batch)[rank] if plan.method == "split" else batch
                    own = rank if plan.exchanges else 0
                    key = ("m", share, layout.own[own], layout.known(own))
                    for board in range(boards):
                        if (board == 0) == (rank == 0):
                            needed[board].add(key)
    assert held == needed


def test_a_worker_may_become_any_rank_but_the_leader_stays() -> None:
    sweep = plan_sweep({"m": GPT2}, 3, Wish(batches=(1,), ls=(4,), tokens=(120,)))
    ranks = [{cell.rank for cell in cells if cell.plan.p == 3} for cells in sweep.cells]
    assert ranks == [{0}, {1, 2}, {1, 2}]


def test_segments_that_are_said_twice_are_measured_once() -> None:
    assert Wish(ls=(10, 20, 10)) == Wish(ls=(10, 20))
    sweep = plan_sweep({"vit": VIT}, 2, Wish(ls=(10, 10)))
    assert sweep == plan_sweep({"vit": VIT}, 2, Wish(ls=(10,)))
    assert len(set(sweep.requests)) == len(sweep.requests)


def test_more_boards_than_a_plan_takes_are_measured_for_plans_of_eight() -> None:
    sweep = plan_sweep({"vit": VIT}, 9, Wish(batches=(8,), ls=(10,), quick=True))
    assert len(sweep.cells) == 9
    assert {plan.p for plan in candidates(9, (10,))} == set(range(1, 9))
    assert {request.plan.p for request in sweep.requests} == {1, 8}
    assert max(cell.plan.p for cell in sweep.cells[8]) == 8


def test_split_and_local_are_measured_as_local() -> None:
    sweep = plan_sweep({"vit": VIT}, 2, QUICK)
    plans = {str(cell.plan) for cells in sweep.cells for cell in cells}
    assert plans == {"local", "prism:p=2,l=10,dtype=fp16", "voltage:p=2,dtype=fp32"}


def test_one_board_has_local_plans_only() -> None:
    sweep = plan_sweep({"vit": VIT}, 1, Wish())
    assert {str(cell.plan) for cell in sweep.cells[0]} == {"local"}
    assert {str(request.plan) for request in sweep.requests} == {"local"}


def test_plans_that_fit_no_length_are_told_once_with_the_reason() -> None:
    small = plan_sweep({"vit": VIT}, 2, Wish(ls=(10, 120)))
    assert small.skipped == (
        "vit: plan prism:p=2,l=120,dtype=fp16: 120 segments for the 99 tokens a rank owns "
        "(197 tokens over 2 ranks); at most l=99",
    )
    assert plan_sweep({"vit": VIT}, 2, Wish(ls=(10,))).skipped == ()


def test_a_batch_too_small_to_split_is_no_news() -> None:
    assert plan_sweep({"vit": VIT}, 3, Wish(batches=(1,), ls=(5,))).skipped == ()


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        (Wish(), (32, 128, 512)),
        (Wish(quick=True), (128, 512)),
        (Wish(tokens=(64, 2000, 1024)), (64, 1024)),
    ],
)
def test_texts_are_measured_at_lengths_that_fit(wish: Wish, expected: tuple[int, ...]) -> None:
    assert lengths(GPT2, wish) == expected
    assert lengths(VIT, wish) == (197,)


def test_lengths_that_never_fit_are_an_error() -> None:
    with pytest.raises(SettingsError, match="1024 positions"):
        lengths(GPT2, Wish(tokens=(4096,)))


def test_requests_are_answered_at_the_smallest_batch_and_up_to_four() -> None:
    sweep = plan_sweep({"vit": VIT}, 2, QUICK)
    found = {(str(request.plan), request.batch) for request in sweep.requests}
    assert found == {
        ("local", 1),
        ("local", 4),
        ("split:p=2", 4),
        ("prism:p=2,l=10,dtype=fp16", 1),
        ("prism:p=2,l=10,dtype=fp16", 4),
        ("voltage:p=2,dtype=fp32", 1),
        ("voltage:p=2,dtype=fp32", 4),
    }
    big = plan_sweep({"vit": VIT}, 2, Wish(batches=(8, 16)))
    assert {request.batch for request in big.requests} == {8}


def test_a_full_sweep_tells_wire_dtypes_apart_end_to_end_only() -> None:
    full = plan_sweep({"vit": VIT}, 2, Wish(ls=(10,)))
    assert len(full.requests) > len(plan_sweep({"vit": VIT}, 2, QUICK).requests)
    assert {str(request.plan) for request in full.requests} >= {
        "prism:p=2,l=10,dtype=fp16",
        "prism:p=2,l=10,dtype=fp32",
    }
    assert keys(full, 0) == keys(plan_sweep({"vit": VIT}, 2, QUICK), 0)


def test_payloads_run_from_4_kib_to_1_mib() -> None:
    for wish, count in ((QUICK, 5), (Wish(), 9)):
        payloads = plan_sweep({"vit": VIT}, 2, wish).payloads
        assert (payloads[0], payloads[-1], len(payloads)) == (4096, 1 << 20, count)


def test_a_quick_sweep_repeats_small_cells_more_and_is_quicker() -> None:
    quick, full = plan_sweep({"vit": VIT}, 2, QUICK), plan_sweep({"vit": VIT}, 2, Wish(ls=(10,)))
    repeats = {(cell.batch, cell.known): cell.repeats for cell in quick.cells[0]}
    assert repeats[1, 109] == 3
    assert quick.rounds >= 3  # so every cell has three repeats, at three different times
    assert repeats[8, 197] == 1
    assert all(cell.repeats >= 2 for cell in full.cells[0])
    assert quick.weight_s < full.weight_s / 1.5


def test_the_order_depends_on_the_seed_alone() -> None:
    cells = plan_sweep({"vit": VIT}, 2, QUICK).cells[0]
    assert shuffled(cells, "1/0/0") == shuffled(cells, "1/0/0")
    assert shuffled(cells, "1/0/0") != shuffled(cells, "2/0/0")
    assert sorted(cell.key for cell in shuffled(cells, "x")) == sorted(cell.key for cell in cells)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"batches": (0,)}, "--batches"),
        ({"batches": ()}, "at least one"),
        ({"ls": (3, -1)}, "--l"),
        ({"tokens": (1,)}, "--tokens"),
    ],
)
def test_wishes_that_make_no_sense_are_refused(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(SettingsError, match=expected):
        Wish(**changes)


def test_candidates_over_three_boards() -> None:
    assert [str(plan) for plan in candidates(3, (2,))] == [
        "local",
        "split:p=2",
        "prism:p=2,l=2,dtype=fp16",
        "voltage:p=2,dtype=fp32",
        "split:p=3",
        "prism:p=3,l=2,dtype=fp16",
        "voltage:p=3,dtype=fp32",
    ]
    assert candidates(1, (2,)) == [Plan(method="local")]
