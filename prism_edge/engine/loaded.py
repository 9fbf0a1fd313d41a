"""Models once they are in memory: each has answered, and is described to drivers and to ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from prism_edge import __version__
from prism_edge.engine.manifest import PROTOCOL, Manifest, codebook_key
from prism_edge.engine.order import not_finite
from prism_edge.errors import ModelError
from prism_edge.families.checkpoint import fingerprint
from prism_edge.families.codebook_file import codebook_fingerprint, codebook_path, list_codebooks
from prism_edge.families.model import Model
from prism_edge.plan import LOCAL
from prism_edge.request import lead
from prism_edge.spans import Recorder
from prism_edge.tensors.attention import kernels


def warm_up(name: str, model: Model, directory: Path) -> None:
    """The model has answered once, with numbers. Raises ``ModelError`` when they are none."""
    complaint = not_finite(lead(model, name, LOCAL, example(model), None, Recorder()))
    if complaint is not None:
        raise ModelError(f"{directory}: tried on an example, {complaint}")


def example(model: Model) -> dict[str, torch.Tensor]:
    """The smallest input that makes the model compute."""
    shape = [1 if size == -1 else size for size in model.inputs[0].shape]
    if model.shape.fixed_tokens:
        return {model.inputs[0].name: torch.zeros(shape)}
    return {model.inputs[0].name: torch.zeros(1, min(8, model.shape.tokens), dtype=torch.long)}


def describe(name: str, model: Model, directory: Path) -> dict[str, Any]:
    """What a driver needs to know of a model, as JSON values."""
    shape = {key: getattr(model.shape, key) for key in model.shape.__dataclass_fields__}
    weight = model.blocks[0].qkv.weight
    return {
        "name": name,
        "fingerprint": fingerprint(directory),
        "shape": shape,
        "attention": kernels(model.shape.heads, model.shape.width, weight),
        "inputs": [[spec.name, spec.datatype, list(spec.shape)] for spec in model.inputs],
        "outputs": [[spec.name, spec.datatype, list(spec.shape)] for spec in model.outputs],
    }


def manifest_of(
    described: Sequence[Mapping[str, Any]],
    directories: Mapping[str, Path],
    *,
    device: str,
    dtype: str,
) -> Manifest:
    """What this board holds, for the other ranks of its groups."""
    return Manifest(
        version=__version__,
        protocol=PROTOCOL,
        device=device,
        dtype=dtype,
        models={model["name"]: model["fingerprint"] for model in described},
        codebooks={
            name: {
                codebook_key(g, k): codebook_fingerprint(codebook_path(directory, g, k))
                for g, k in list_codebooks(directory)
            }
            for name, directory in directories.items()
        },
    )
