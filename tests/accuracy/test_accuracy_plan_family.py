"""A text with ranges stands for plans, one of which is drawn; what does not parse is named."""

from __future__ import annotations

import numpy as np
import pytest
from nets import Net

from prism_edge.accuracy.plan_family import PlanFamily, in_turn
from prism_edge.errors import PlanError


def test_a_range_is_every_value_and_a_bar_either() -> None:
    family = PlanFamily.parse("prism:p=2..3,l=4..5,dtype=fp32|int8 ; local;prism:p=2,l=4/0/0|9..10")
    assert [len(entry) for entry in family.entries] == [8, 1, 3]
    assert [str(plan) for plan in family.entries[0][:3]] == [
        "prism:p=2,l=4,dtype=fp32",
        "prism:p=2,l=4,dtype=int8",
        "prism:p=2,l=5,dtype=fp32",
    ]
    assert [plan.l for plan in family.entries[2]] == [(4, 0, 0), 9, 10]
    source = np.random.default_rng(0)
    assert {family.draw(source) for _ in range(300)} == set(family.plans)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (" ; ", "no plan is named"),
        ("prism:p=2,l=9..4", r"9\.\.4 goes down; write 4\.\.9"),
        ("prism:p=2,l=4..", "not a whole number"),
        ("prism:p=2,l=1..99999", "stands for 99999 plans"),
        ("prism:p=2..9,l=4", "2 to 8 ranks"),
        ("prism:l=4", "p is missing"),
        ("prisn:p=2,l=4", "did you mean 'prism'"),
    ],
)
def test_what_is_no_family_is_refused(text: str, said: str) -> None:
    with pytest.raises(PlanError, match=said):
        PlanFamily.parse(text)


def test_short_samples_are_answered_by_what_fits_them() -> None:
    family, shape = PlanFamily.parse("prism:p=2,l=1..9;voltage:p=3"), Net().shape
    assert family.fitting(shape, 36) == family
    short = family.fitting(shape, 8)
    assert [plan.l for plan in short.plans] == [1, 2, 3, 4, None]
    with pytest.raises(PlanError):
        PlanFamily.parse("prism:p=2,l=9").fitting(shape, 8)


def test_every_part_is_judged_in_its_turn() -> None:
    family, shape = PlanFamily.parse("local;prism:p=2,l=9;voltage:p=2|3"), Net().shape

    def turns(*lengths: int) -> list[tuple[int, int]]:
        found = in_turn([family.fitting(shape, tokens) for tokens in lengths])
        return [(place, family.entries.index(part.entries[0])) for place, part in found]

    assert turns(*[36] * 5) == [(0, 0), (1, 1), (2, 2), (3, 0), (4, 1)]
    assert turns(36) == [(0, 0), (0, 1), (0, 2)]  # fewer batches than parts
    assert turns(8, 36, 8) == [(0, 0), (1, 1), (2, 2)]
    assert turns(36, 8) == [(0, 0), (1, 2), (0, 1)]  # l=9 fits the first alone
    assert turns(8, 8) == [(0, 0), (1, 2)]
