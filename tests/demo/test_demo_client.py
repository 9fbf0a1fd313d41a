"""The demo's client: real photographs and digits; one line a request, also for a refusal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prism_edge.demo.client import answers, digits, photographs
from prism_edge.errors import ServiceError
from prism_edge.serve.oip_client import Reply

EXAMPLES = Path(__file__).parents[2] / "examples"


class Answering:
    """A daemon that is right about class 3 and refuses batches of two."""

    def infer(self, model: str, inputs: Mapping[str, Any], parameters: Mapping[str, Any]) -> Reply:
        images = inputs["pixel_values"]
        if len(images) == 2:
            raise ServiceError("the queue is full")
        logits = np.zeros((len(images), 10))
        logits[:, 3] = 1
        said = {"plan": parameters.get("plan", "local"), "why": "because"}
        return Reply(outputs={"logits": logits}, parameters=said)


def load(model: str, start: int, batch: int) -> tuple[Any, Any]:
    return np.zeros((batch, 3, 4, 4), np.uint8), np.array([3] + [1] * (batch - 1))


def ask(batch: int, plan: str | None = None) -> dict[str, Any]:
    return {"model": "digits", "batch": batch, "plan": plan, "start": 0}


def test_right_answers_are_counted_and_the_plan_is_passed_on():
    told = list(answers(Answering(), [ask(3, "split:p=2"), ask(1)], load))  # type: ignore[arg-type]
    assert [row["right"] for row in told] == [1, 1]
    assert [row["ran"] for row in told] == ["split:p=2", "local"]
    assert all(row["latency_s"] >= 0 for row in told)


def test_a_refusal_is_a_line_too_and_the_next_request_goes_on():
    told = list(answers(Answering(), [ask(2), ask(1)], load))  # type: ignore[arg-type]
    assert [row["ok"] for row in told] == [False, True]
    assert told[0]["error"] == "the queue is full"


def test_photographs_are_real_and_differ():
    pytest.importorskip("sklearn")
    images = photographs(4)
    assert images.shape == (4, 3, 224, 224)
    assert images.dtype == np.uint8
    assert images.std() > 20
    assert not np.array_equal(images[0], images[2])
    assert np.array_equal(images, photographs(4))


def test_digits_are_the_test_split_of_the_example():
    pytest.importorskip("sklearn")
    images, labels = digits(EXAMPLES)
    assert images.shape == (360, 3, 32, 32)
    assert images.dtype == np.uint8
    assert set(labels.tolist()) == set(range(10))
