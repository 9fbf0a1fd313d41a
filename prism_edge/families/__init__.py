"""Model families: the only files that know how Hugging Face names things."""

from __future__ import annotations

from pathlib import Path

from prism_edge.errors import ModelError
from prism_edge.families import bert, gpt2, vit
from prism_edge.families.checkpoint import Checkpoint, read_checkpoint, read_config
from prism_edge.families.device import usable
from prism_edge.families.model import Model

FAMILIES = {"vit": (vit.Vit, vit), "bert": (bert.Bert, bert), "gpt2": (gpt2.Gpt2, gpt2)}


def load(directory: Path, device: str = "cpu", dtype: str = "fp32") -> Model:
    """The model of a Hugging Face model directory, on ``device`` and in ``dtype``.

    Raises ``ModelError`` that says which families and architectures are supported, or what this
    PyTorch lacks for the device or the dtype.
    """
    return build(read(directory, device, dtype))


def read(directory: Path, device: str = "cpu", dtype: str = "fp32") -> Checkpoint:
    """The checkpoint that ``build`` makes a model of."""
    place, precision = usable(device, dtype)
    config = read_config(directory)
    kind = config.get("model_type")
    if kind not in FAMILIES:
        raise ModelError(
            f"{directory}: model_type {kind!r} is not supported (supported: {', '.join(FAMILIES)})"
        )
    _, module = FAMILIES[kind]
    checkpoint = read_checkpoint(directory, module.PREFIX, place, precision)
    if checkpoint.architecture not in module.ARCHITECTURES:
        raise ModelError(
            f"{directory}: architecture {checkpoint.architecture} is not supported "
            f"(supported for {kind}: {', '.join(module.ARCHITECTURES)})"
        )
    return checkpoint


def build(checkpoint: Checkpoint) -> Model:
    """The model of a checkpoint; its blocks are made of the very tensors that this hands out."""
    family, _ = FAMILIES[checkpoint.config["model_type"]]
    model: Model = family(checkpoint)
    model.directory = checkpoint.directory
    model.device = checkpoint.device
    return model
