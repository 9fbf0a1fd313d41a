"""What an engine's ``ready`` message says of its models, for clients and for the policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prism_edge.engine.messages import Array, Message
from prism_edge.errors import InputError
from prism_edge.layout import ModelShape
from prism_edge.serve.service import ModelInfo, TensorInfo
from prism_edge.settings import Settings

# what every supported torch can take from numpy
TAKEN = frozenset({"bool", "uint8", "int8", "int16", "int32", "int64"}) | {
    f"float{bits}" for bits in (16, 32, 64)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One model of an engine: what clients see, what the tables are keyed by, what sizes follow."""

    info: ModelInfo
    fingerprint: str
    shape: ModelShape

    def extent(self, inputs: Mapping[str, Array]) -> tuple[int, int]:
        """Batch and tokens of a request; ``InputError`` when its tensors disagree on the batch, or
        are of a kind that no model takes."""
        names = [tensor.name for tensor in self.info.inputs]
        if not inputs or not set(inputs) <= set(names):
            raise InputError(f"inputs are {sorted(inputs)}, this model takes {names}")
        for name, array in inputs.items():
            if array.dtype.name not in TAKEN:
                kind = "text" if array.dtype.hasobject else array.dtype.name
                raise InputError(f"{name} holds {kind}, allowed are {', '.join(sorted(TAKEN))}")
        batches = {name: array.shape[0] if array.ndim else 0 for name, array in inputs.items()}
        batch = next(iter(batches.values()))
        if batch < 1 or any(size != batch for size in batches.values()):
            raise InputError(f"all inputs need the same batch of at least 1, these have {batches}")
        if self.shape.fixed_tokens:
            return batch, self.shape.tokens
        first = inputs.get(names[0], next(iter(inputs.values())))
        return batch, int(first.shape[1]) if first.ndim > 1 else 1


def served_models(ready: Message) -> dict[str, Served]:
    """The models of a ``ready`` message by name."""
    return {entry["name"]: _served(entry) for entry in ready.fields["models"]}


def infos(settings: Settings, models: Mapping[str, Served]) -> list[ModelInfo]:
    """What clients see of every configured model; before the first ``ready`` just its name."""
    loading = "the engine is loading"
    return [
        models[model.name].info
        if model.name in models
        else ModelInfo(name=model.name, inputs=(), outputs=(), ready=False, reason=loading)
        for model in settings.models
    ]


def _served(entry: Mapping[str, Any]) -> Served:
    def tensors(listed: list[list[Any]]) -> tuple[TensorInfo, ...]:
        return tuple(TensorInfo(name=n, datatype=d, shape=tuple(s)) for n, d, s in listed)

    info = ModelInfo(
        name=entry["name"],
        inputs=tensors(entry["inputs"]),
        outputs=tensors(entry["outputs"]),
        ready=True,
    )
    shape = ModelShape(**entry["shape"])
    return Served(info=info, fingerprint=entry["fingerprint"], shape=shape)
