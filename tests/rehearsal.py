"""Engines that answer at once from a script: what the profiler is tried on without processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, cast

from prism_edge.cluster.local import LocalHost
from prism_edge.engine.messages import Message
from prism_edge.layout import ModelShape
from prism_edge.profile.engines import Engines, LoadedModel

VIT = ModelShape(
    family="vit",
    tokens=197,
    fixed_tokens=True,
    width=768,
    heads=12,
    blocks=12,
    ffn=3072,
    causal=False,
    lead=1,
    trail=0,
    class_token=True,
    needs="first",
    token_bytes=768,
    output_fixed=1000,
    output_per_token=0,
)
GPT2 = ModelShape(
    family="gpt2",
    tokens=1024,
    fixed_tokens=False,
    width=768,
    heads=12,
    blocks=12,
    ffn=3072,
    causal=True,
    lead=1,
    trail=0,
    class_token=False,
    needs="last",
    token_bytes=2,
    output_fixed=0,
    output_per_token=50257,
)


class Clock:
    """Time that passes when the rehearsal says so."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Rehearsal:
    """Stands in for ``Engines``; ``log`` holds (rank, order, fields) of everything asked."""

    def __init__(self, boards: int, shape: ModelShape = VIT, *, distributed: bool = True) -> None:
        self.hosts = tuple(LocalHost(name=f"edge-{n + 1}") for n in range(boards))
        self.models = (
            LoadedModel(
                name="m",
                fingerprint="f" * 16,
                shape=shape,
                inputs=(("pixel_values", "FP32", (-1, 3, 4, 4)),)
                if shape.fixed_tokens
                else (("input_ids", "INT64", (-1, -1)),),
                outputs=("logits",),
            ),
        )
        self.distributed = distributed
        self.clock = Clock()
        self.log: list[tuple[int, str, dict[str, Any]]] = []
        self.takes_s: Callable[[str, Mapping[str, Any]], float] = lambda kind, fields: 0.001
        self.breaks: Callable[[str, Mapping[str, Any]], Exception | None] = lambda kind, fields: (
            None
        )
        self.fallback: str | None = None
        self.staging: dict[str, str | None] = {"copy": None}

    def fact(self, rank: int, key: str) -> str:
        return {"torch": "2.1", "device": "cpu", "dtype": "fp32"}[key]

    def paths(self, rank: int) -> Mapping[str, str | None]:
        return self.staging

    @property
    def engines(self) -> Engines:
        return cast(Engines, self)

    def orders(self, kind: str) -> list[dict[str, Any]]:
        return [fields for _, order, fields in self.log if order == kind]

    def join(self) -> None:
        self.log.append((-1, "join", {}))

    def leave(self) -> None:
        self.log.append((-1, "leave", {}))

    def submit(self, rank: int, kind: str, arrays: Any = None, /, **fields: Any) -> Future[Message]:
        self.log.append((rank, kind, {**fields, "arrays": arrays}))
        future: Future[Message] = Future()
        broken = self.breaks(kind, fields)
        if broken is not None:
            future.set_exception(broken)
            return future
        second = self.takes_s(kind, fields)
        count = fields.get("repeats", 1)
        self.clock.now_s += second * (count + 1 if kind == "measure" else count)
        said = {
            "seconds": [second] * count,
            "warm": [second] * (4 if fields.get("warm_s") else 1),
            "cpu_s": [None] * count,
            "fallback": self.fallback,
            "wire_bytes": 0,
        }
        future.set_result(Message(kind, said))
        return future

    def ask(self, rank: int, kind: str, arrays: Any = None, /, **fields: Any) -> Message:
        return self.submit(rank, kind, arrays, **fields).result()
