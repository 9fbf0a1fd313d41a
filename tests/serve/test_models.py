"""What an engine says of its models, as clients and the policy see it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from engine_puppet import FINGERPRINT, MODEL, READY, SHAPE

from prism_edge.engine.messages import Array, Message
from prism_edge.errors import InputError
from prism_edge.layout import ModelShape
from prism_edge.serve.models import TAKEN, Served, infos, served_models
from prism_edge.serve.service import TensorInfo
from prism_edge.settings import ModelSettings, ServeSettings, single_board


def served(**shape: object) -> Served:
    model = {**MODEL, "shape": {**SHAPE, **shape}}
    return served_models(Message("ready", {**READY, "models": [model]}))["m"]


def text_model() -> Served:
    model = {
        **MODEL,
        "shape": {**SHAPE, "family": "bert", "fixed_tokens": False, "tokens": 30, "lead": 0},
        "inputs": [["input_ids", "INT64", [-1, -1]], ["attention_mask", "INT64", [-1, -1]]],
    }
    return served_models(Message("ready", {**READY, "models": [model]}))["m"]


def test_a_ready_message_becomes_models_by_name() -> None:
    found = served()
    assert found.fingerprint == FINGERPRINT
    assert found.shape == ModelShape(**SHAPE)
    assert (found.info.name, found.info.ready) == ("m", True)
    assert found.info.inputs == (TensorInfo(name="x", datatype="FP32", shape=(-1, 2)),)
    assert found.info.outputs == (TensorInfo(name="y", datatype="FP32", shape=(-1, 2)),)


def test_until_it_is_loaded_a_model_is_known_by_name() -> None:
    models = tuple(ModelSettings(name=name, path=Path(name)) for name in "nm")
    settings = single_board(models, ServeSettings())
    before = infos(settings, {})
    assert [(info.name, info.ready, info.reason) for info in before] == [
        ("n", False, "the engine is loading"),
        ("m", False, "the engine is loading"),
    ]
    after = infos(settings, {"m": served()})
    assert [(info.name, info.ready) for info in after] == [("n", False), ("m", True)]


def test_extent_is_the_batch_and_the_tokens() -> None:
    assert served().extent({"x": np.zeros((3, 2))}) == (3, 8)
    ids = {"input_ids": np.zeros((2, 11)), "attention_mask": np.zeros((2, 11))}
    assert text_model().extent(ids) == (2, 11)
    assert text_model().extent(dict(reversed(ids.items()))) == (2, 11)


def test_every_datatype_torch_knows_is_taken() -> None:
    for name in sorted(TAKEN):
        array = np.zeros((1, 2), dtype=name)
        assert served().extent({"x": array}) == (1, 8)
        torch.from_numpy(array)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({}, "inputs are"),
        ({"input_idz": np.zeros((1, 2))}, "input_idz"),
        ({"input_ids": np.zeros((1, 2)), "y": np.zeros((1, 2))}, "'y'"),
        ({"input_ids": np.zeros((1, 2)), "attention_mask": np.zeros((2, 2))}, "same batch"),
        ({"input_ids": np.zeros((0, 2))}, "at least 1"),
        ({"input_ids": np.zeros(())}, "at least 1"),
        ({"input_ids": np.array([[b"x"]], dtype=object)}, "input_ids holds text"),
        ({"input_ids": np.zeros((1, 2), dtype=np.uint32)}, "input_ids holds uint32"),
    ],
)
def test_tensors_that_disagree_are_refused_by_name(inputs: dict[str, Array], said: str) -> None:
    with pytest.raises(InputError, match=said):
        text_model().extent(inputs)
