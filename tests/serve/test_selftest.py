"""What an engine answers to the self-test is looked at: its shape, its values, that it comes."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from engine_puppet import MODEL, READY, SHAPE

from prism_edge.engine.messages import Message
from prism_edge.serve.datatypes import Array
from prism_edge.serve.models import Served, served_models
from prism_edge.serve.selftest import example, wrong

TEXT: dict[str, Any] = {
    "name": "t",
    "fingerprint": "f",
    "shape": {**SHAPE, "family": "bert", "fixed_tokens": False, "tokens": 512},
    "inputs": [["input_ids", "INT64", [-1, -1]], ["attention_mask", "INT64", [-1, -1]]],
    "outputs": [["logits", "FP32", [-1, 3]], ["words", "FP32", [-1, -1, 5]]],
}


def served(entry: dict[str, Any]) -> Served:
    return served_models(Message("ready", {**READY, "models": [entry]}))[entry["name"]]


def test_the_example_is_the_smallest_that_makes_a_model_compute() -> None:
    (x,) = example(served(MODEL)).values()
    assert (x.shape, x.dtype) == ((1, 2), np.float32)
    (ids,) = example(served(TEXT)).values()
    assert (ids.shape, ids.dtype) == ((1, 8), np.int64)
    short = {**TEXT, "shape": {**TEXT["shape"], "tokens": 4}}
    assert example(served(short))["input_ids"].shape == (1, 4)


def outputs(logits: Any, words: Any = None) -> dict[str, Array]:
    found = {"logits": np.asarray(logits, dtype=np.float32)}
    found["words"] = np.zeros((1, 8, 5), np.float32) if words is None else words
    return found


def test_numbers_of_the_right_shape_are_right() -> None:
    assert wrong(served(TEXT), outputs([[1, 2, 3]])) is None


@pytest.mark.parametrize(
    ("found", "complaint"),
    [
        ({}, "it gave nothing, and no logits"),
        ({"words": np.zeros(1)}, "it gave words, and no logits"),
        (outputs([[1, 2]]), r"logits has shape \[1, 2\], expected \[1, 3\]"),
        (outputs([1, 2, 3]), r"logits has shape \[3\]"),
        (outputs([[1, 2, 3]] * 2), r"logits has shape \[2, 3\]"),
        (outputs([[1, 2, np.nan]]), "logits holds NaN"),
        (outputs([[1, 2, 3]], np.full((1, 8, 5), np.inf)), "words holds NaN or infinite"),
    ],
)
def test_anything_else_is_named(found: dict[str, Array], complaint: str) -> None:
    said = wrong(served(TEXT), found)
    assert said is not None
    assert re.match(complaint, said)
