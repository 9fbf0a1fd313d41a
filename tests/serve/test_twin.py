"""The service without hardware answers, and refuses, as a real one would."""

import asyncio

import numpy as np
import pytest

from prism_edge.errors import InputError, NotFoundError
from prism_edge.serve.datatypes import Array
from prism_edge.serve.service import InferCall, InferReply, Service
from prism_edge.serve.twin import Echo


def infer(model: str, **inputs: Array) -> InferReply:
    service: Service = Echo()
    return asyncio.run(service.infer(InferCall(model=model, request_id="a", inputs=inputs)))


def test_echo_and_argmax() -> None:
    x = np.array([[1.0, 3.0, 2.0], [5.0, 4.0, 0.0]], np.float32)
    reply = infer("echo", x=x)
    assert reply.outputs["y"] is x
    assert reply.parameters["plan"] == "local"
    label = infer("argmax", logits=x).outputs["label"]
    assert label.dtype == np.int64
    assert label.tolist() == [1, 0]


def test_refusals() -> None:
    x = np.zeros((2, 0), np.float32)
    with pytest.raises(NotFoundError, match="model vit: this daemon serves echo, argmax"):
        infer("vit", x=x)
    with pytest.raises(InputError, match="model echo: takes x, not y"):
        infer("echo", y=x)
    with pytest.raises(InputError, match="input logits: takes"):
        infer("argmax", logits=x)
    with pytest.raises(InputError, match="input logits: takes"):
        infer("argmax", logits=np.array([b"a"], np.object_))
