"""Letters, borders and lines say what the cells say."""

from __future__ import annotations

from itertools import pairwise

from paper_map import paper_map

from prism_edge.decision_map.regions import (
    LEVELS,
    _letter,
    anchors,
    borders,
    letters,
    margin_line,
    spans,
)


def test_letters_run_on_after_z() -> None:
    assert [_letter(number) for number in (0, 25, 26, 27, 701)] == ["A", "Z", "AA", "AB", "ZZ"]
    made = paper_map()
    assert list(letters(made)) == list(made.plans)


def test_a_letter_stands_in_a_cell_of_its_plan_and_every_plan_of_note_has_one() -> None:
    made = paper_map()
    found = anchors(made)
    for plan, column, band in found:
        assert made.spots[band][column].plan == plan
    assert made.plans[0] in {plan for plan, _, _ in found}


def test_a_border_runs_exactly_where_the_plan_changes() -> None:
    made = paper_map()
    sides = set(borders(made))
    for k, row in enumerate(made.spots):
        for i, spot in enumerate(row):
            if i:
                assert ((i, k, True) in sides) == (row[i - 1].plan != spot.plan)
            if k:
                assert ((i, k, False) in sides) == (made.spots[k - 1][i].plan != spot.plan)


def test_a_line_of_margin_has_more_on_one_side_and_less_on_the_other() -> None:
    made = paper_map()
    for level in LEVELS:
        for i, k, up in margin_line(made, level):
            below, above = made.spots[k - 1][i], made.spots[k][i]
            assert not up
            assert below.plan == above.plan
            assert below.margin is not None
            assert above.margin is not None
            assert min(below.margin, above.margin) < level <= max(below.margin, above.margin)
    assert margin_line(made, LEVELS[0])


def test_spans_cover_every_rate_once() -> None:
    made = paper_map()
    for column in range(len(made.batches)):
        found = spans(made, column)
        assert found[0].low_bps == made.edges_bps[0]
        assert found[-1].high_bps == made.edges_bps[-1]
        assert sum(len(span.spots) for span in found) == len(made.spots)
        for before, after in pairwise(found):
            assert before.high_bps == after.low_bps
            assert before.spots[0].plan != after.spots[0].plan
