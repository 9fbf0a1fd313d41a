"""A round times everything once, in an order nobody can guess, and only what answers alike."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from rehearsal import GPT2, VIT, Rehearsal

from prism_edge.bench.rounds import Group, inputs, order_of, require_same, tasks_of
from prism_edge.errors import ModelError
from prism_edge.plan import LOCAL, Plan

PLANS = [LOCAL, *map(Plan.parse, ("split:p=2", "prism:p=2,l=10", "voltage:p=2"))]


def test_a_round_holds_everything_once_and_bounds_side_by_side() -> None:
    tasks, source = tasks_of(PLANS, floats=True), random.Random(0)
    assert len(tasks) == 1 + 1 + 4 + 3
    orders = [order_of(tasks, source) for _ in range(50)]
    for order in orders:
        assert sorted(map(str, order)) == sorted(map(str, tasks))
        kinds = [task.kind == "bound" for task in order]
        assert sum(left != right for left, right in itertools.pairwise(kinds)) == 1
    assert {str(order[0]) for order in orders} == set(map(str, tasks))
    assert order_of(tasks, random.Random(7)) == order_of(tasks, random.Random(7))


def test_local_alone_needs_no_bound_and_texts_no_second_form() -> None:
    assert [str(task) for task in tasks_of([LOCAL], floats=False)] == ["hugging-face", "local"]


def test_a_group_is_formed_only_when_needed() -> None:
    two, one = Rehearsal(2), Rehearsal(1)
    for rehearsal in (two, one):
        group = Group(rehearsal.engines)
        for joined in (False, True, True, False, False, True):
            group.be(joined=joined)
    assert [kind for _, kind, _ in two.log] == ["join", "leave", "join"]
    assert one.log == []


def test_images_are_given_as_floats_and_asked_as_bytes() -> None:
    raw, given = (
        arrays["pixel_values"] for arrays in inputs(Rehearsal(1, VIT).models[0], 2, 197, 0)
    )
    assert (raw.dtype, given.dtype, raw.shape) == (np.uint8, np.float32, given.shape)
    assert np.allclose(given, (raw / 255 - 0.5) / 0.5, atol=1e-6)
    ids, same = inputs(Rehearsal(1, GPT2).models[0], 2, 9, 0)
    assert ids is same
    assert ids["input_ids"].shape == (2, 9)


def test_answers_that_differ_are_not_compared() -> None:
    ours = {"logits": np.array([[1.0, -4.0]])}
    require_same("m", ours, {"logits": np.array([[1.0, -4.001]]), "more": np.zeros(1)})
    for wrong in (np.array([[1.0, -4.1]]), np.array([[1.0, np.nan]])):
        with pytest.raises(ModelError, match="logits differs from Hugging Face's"):
            require_same("m", ours, {"logits": wrong})
    with pytest.raises(ModelError, match="has no output 'logits'"):
        require_same("m", ours, {})
