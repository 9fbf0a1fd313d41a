"""A service without boards, engines or models: it answers from the request's own values.

Model ``echo`` gives its input ``x`` back as ``y``; model ``argmax`` gives the class of each row of
``logits``. Clients, tests and the HTTP edge can be tried against it wherever numpy is.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from prism_edge.errors import InputError, NotFoundError
from prism_edge.serve.service import InferCall, InferReply, ModelInfo, Readiness, TensorInfo


class Echo:
    """A :class:`prism_edge.serve.service.Service` that needs nothing but numpy."""

    def models(self) -> Sequence[ModelInfo]:
        return (
            ModelInfo(
                name="echo",
                inputs=(TensorInfo(name="x", datatype="FP32", shape=(-1, -1)),),
                outputs=(TensorInfo(name="y", datatype="FP32", shape=(-1, -1)),),
                ready=True,
            ),
            ModelInfo(
                name="argmax",
                inputs=(TensorInfo(name="logits", datatype="FP32", shape=(-1, -1)),),
                outputs=(TensorInfo(name="label", datatype="INT64", shape=(-1,)),),
                ready=True,
            ),
        )

    def readiness(self) -> Readiness:
        return Readiness(ready=True)

    def status(self) -> Mapping[str, object]:
        return {"boards": [], "epoch": 0, "link": None}

    async def infer(self, request: InferCall) -> InferReply:
        models = {model.name: model for model in self.models()}
        if request.model not in models:
            raise NotFoundError(f"model {request.model}: this daemon serves {', '.join(models)}")
        expected = models[request.model].inputs[0].name
        if set(request.inputs) != {expected}:
            raise InputError(
                f"model {request.model}: takes {expected}, not {', '.join(request.inputs)}"
            )
        value = request.inputs[expected]
        parameters = {"plan": "local", "why": "a twin has one board"}
        if request.model == "echo":
            return InferReply(outputs={"y": value}, parameters=parameters)
        if value.ndim != 2 or value.dtype.kind != "f" or not value.shape[1]:
            raise InputError(
                f"input logits: takes [rows, classes] of FP32, not {value.dtype} {value.shape}"
            )
        label = np.argmax(value.astype(np.float64), axis=1).astype(np.int64)
        return InferReply(outputs={"label": label}, parameters=parameters)
