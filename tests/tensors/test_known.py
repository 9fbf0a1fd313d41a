"""What a rank knows as columns: counts, positions, and the bias they make.

That a count is so many columns, in any order, is for tests/laws.
"""

from __future__ import annotations

import math

import pytest
import torch
from nets import Net, padding

from prism_edge.layout import Layout, token_layout
from prism_edge.plan import LOCAL, Plan
from prism_edge.tensors.known import known, own_rows

HIDDEN = -math.inf


def layout(plan: str, tokens: int, *, causal: bool = False, lead: int = 0) -> Layout:
    return token_layout(Plan.parse(plan), Net(causal=causal, lead=lead).shape, tokens)


def test_columns_are_the_heard_ones_and_then_the_own() -> None:
    """Ten tokens in parts of 4, 3 and 3, two segments each; rank 1 hears rank 0 and rank 2."""
    columns = known(layout("prism:p=3,l=2", 10), 1, None)
    assert columns.count.tolist() == [[2, 2, 2, 1, 1, 1, 1]]
    assert columns.last.tolist() == [1, 3, 8, 9, 4, 5, 6]
    assert columns.position.tolist() == [4, 5, 6]
    assert not columns.plain_causal


def test_behind_a_causal_mask_only_earlier_ranks_are_heard() -> None:
    """The parts in order of position are those of ranks 1, 2 and 0."""
    columns = known(layout("prism:p=3,l=2,share=3/4/3", 10, causal=True), 2, None)
    assert columns.count.tolist() == [[2, 2, 1, 1, 1]]
    assert columns.last.tolist() == [1, 3, 4, 5, 6]
    log2 = math.log(2)
    expected = [
        [log2, log2, 0, HIDDEN, HIDDEN],
        [log2, log2, 0, 0, HIDDEN],
        [log2, log2, 0, 0, 0],
    ]
    bias = columns.bias()
    assert bias is not None
    assert bias.shape == (1, 1, 3, 5)
    assert torch.allclose(bias[0, 0], torch.tensor(expected))


def test_a_causal_mask_is_lower_right() -> None:
    """[heard, own] makes it one triangle, whatever the plan."""
    columns = known(layout("voltage:p=3", 10, causal=True), 0, None)
    bias = columns.bias()
    assert bias is not None
    lower_right = torch.ones(4, 10, dtype=torch.bool).tril(diagonal=6)
    assert torch.equal(bias[0, 0] == 0, lower_right)
    upper_left = torch.ones(4, 10, dtype=torch.bool).tril()
    assert not torch.equal(lower_right, upper_left)


def test_behind_a_causal_mask_the_first_rank_hears_nobody() -> None:
    columns = known(layout("prism:p=3,l=2", 10, causal=True), 1, None)
    assert columns.count.tolist() == [[1, 1, 1]]
    assert columns.position.tolist() == [0, 1, 2]
    assert columns.plain_causal


def test_columns_are_those_of_the_segments_in_force() -> None:
    per_block = layout("prism:p=2,l=2/0/3/1", 12)
    found = [known(per_block, 0, None, block).count[0, :-6].tolist() for block in range(4)]
    assert found == [[3, 3], [3, 3], [2, 2, 2], [6]]
    lasts = [known(per_block, 0, None, block).last[:-6].tolist() for block in (0, 2)]
    assert lasts == [[8, 11], [7, 9, 11]]


def test_a_replicated_token_stands_before_the_own_ones() -> None:
    """Nine tokens of which the first is on every rank; 4 and 4 others, announced one by one."""
    shape = Net(lead=1, class_token=True).shape
    made = token_layout(Plan.parse("astra:p=2,g=4"), shape, 9)
    columns = known(made, 1, None)
    assert columns.last.tolist() == [1, 2, 3, 4, 0, 5, 6, 7, 8]
    assert columns.position.tolist() == [0, 5, 6, 7, 8]
    assert columns.bias() is None
    padded = known(made, 1, padding([9, 2], 9)).count
    assert padded.tolist() == [[1] * 9, [1, 0, 0, 0, 1, 0, 0, 0, 0]]
    x = torch.arange(9)[None, :, None]
    assert own_rows(made, 0, x).flatten().tolist() == [0, 1, 2, 3, 4]
    assert own_rows(made, 1, x).flatten().tolist() == columns.position.tolist()
    prism = token_layout(Plan.parse("prism:p=2,l=2"), shape, 9)
    assert own_rows(prism, 1, x).flatten().tolist() == [5, 6, 7, 8]


@pytest.mark.parametrize(("plan", "causal"), [("voltage:p=2", False), ("prism:p=2,l=5", False)])
def test_columns_that_stand_for_one_token_each_need_no_bias(plan: str, causal: bool) -> None:
    assert known(layout(plan, 10, causal=causal), 0, None).bias() is None
    assert known(layout("prism:p=2,l=4", 10), 0, None).bias() is not None


def test_one_rank_alone_needs_the_triangle_only() -> None:
    alone = token_layout(LOCAL, Net(causal=True).shape, 6)
    assert known(alone, 0, None).plain_causal
    assert known(alone, 0, torch.ones(2, 6)).plain_causal
    assert not known(alone, 0, padding([6, 3], 6)).plain_causal
    assert not known(token_layout(LOCAL, Net().shape, 6), 0, None).plain_causal
    assert known(token_layout(LOCAL, Net().shape, 6), 0, None).bias() is None


def test_padding_is_hidden_and_a_row_that_sees_nothing_sees_itself() -> None:
    real = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 0]])
    alone = token_layout(LOCAL, Net(causal=True).shape, 4)
    bias = known(alone, 0, real).bias()
    assert bias is not None
    visible = (bias == 0)[:, 0]
    left = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]
    right = [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 0]]
    assert visible.int().tolist() == [left, right]
    assert ((bias == 0) | torch.isneginf(bias)).all()


def test_a_row_that_sees_something_does_not_see_its_own_padding() -> None:
    """Rank 1 owns padding only, but hears real tokens: nothing is added for it."""
    bias = known(layout("prism:p=2,l=1", 8), 1, padding([3], 8)).bias()
    assert bias is not None
    assert torch.allclose(bias[0, 0].exp(), torch.tensor([[3.0, 0, 0, 0, 0]]))
    nothing = known(layout("prism:p=2,l=1", 8), 1, padding([0], 8)).bias()
    assert nothing is not None
    assert torch.equal(nothing[0, 0].exp(), torch.eye(5)[1:])


def test_counts_per_sample_make_a_bias_per_sample() -> None:
    bias = known(layout("prism:p=2,l=2", 8), 1, padding([8, 3], 8)).bias()
    assert bias is not None
    expected = [[2, 2, 1, 1, 1, 1], [2, 1, 0, 0, 0, 0]]
    assert torch.allclose(bias[:, 0, 0].exp(), torch.tensor(expected).float())
