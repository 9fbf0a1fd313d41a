"""A real server in front of a twin with a model for images and one for texts."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import uvicorn

from prism_edge.errors import InputError
from prism_edge.serve.http import create_app
from prism_edge.serve.listen import listen
from prism_edge.serve.metrics import Metrics
from prism_edge.serve.service import InferCall, InferReply, ModelInfo, TensorInfo
from prism_edge.serve.twin import Echo


class Twin(Echo):
    """Tells which colour there is most of; gives token ids back."""

    def models(self) -> Sequence[ModelInfo]:
        def texts(name: str) -> TensorInfo:
            return TensorInfo(name=name, datatype="INT64", shape=(-1, -1))

        return (
            ModelInfo(
                name="colours",
                inputs=(TensorInfo(name="pixel_values", datatype="FP32", shape=(-1, 3, 4, 4)),),
                outputs=(TensorInfo(name="logits", datatype="FP32", shape=(-1, 3)),),
                ready=True,
            ),
            ModelInfo(
                name="words",
                inputs=(texts("input_ids"), texts("attention_mask")),
                outputs=(texts("ids"),),
                ready=True,
            ),
        )

    async def infer(self, request: InferCall) -> InferReply:
        plan = request.parameters.get("plan")
        said = {"plan": plan or "split:p=2", "why": "as asked" if plan else "the twin chose"}
        if request.model == "words":
            assert set(request.inputs) == {"input_ids", "attention_mask"}
            return InferReply(outputs={"ids": request.inputs["input_ids"]}, parameters=said)
        if set(request.inputs) != {"pixel_values"}:
            raise InputError(f"inputs are {sorted(request.inputs)}")
        logits = request.inputs["pixel_values"].astype(np.float32).mean(axis=(2, 3))
        return InferReply(outputs={"logits": logits}, parameters=said)


@contextmanager
def serving() -> Iterator[str]:
    """The URL of the twin, served from a thread on a free port."""
    app = create_app(Twin(), token=None, max_body_bytes=1 << 20, metrics=Metrics())
    with listen("127.0.0.1", 0) as listener:
        server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
