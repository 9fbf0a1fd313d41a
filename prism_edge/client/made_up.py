"""Tensors that a model takes, made from its metadata alone: speed does not depend on values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from prism_edge.errors import InputError
from prism_edge.serve.datatypes import DATATYPES, Array
from prism_edge.serve.service import TensorInfo


def made_up(
    takes: Sequence[TensorInfo], *, batch: int, tokens: int, seed: int = 0
) -> dict[str, Array]:
    """One request of ``batch`` rows: numbers in [0, 1) for floats, ones for token ids and masks.

    ``tokens``: what every further size that is left open becomes. Inputs that hold encoded files
    or texts are left out: the others say the same. Raises ``InputError`` when nothing is left.
    """
    random = np.random.default_rng(seed)
    arrays: dict[str, Array] = {}
    for info in takes:
        if info.datatype == "BYTES":
            continue
        dtype = DATATYPES[info.datatype]
        shape = (batch, *(tokens if size < 0 else size for size in info.shape[1:]))
        values = random.random(shape) if dtype.kind == "f" else np.ones(shape)
        arrays[info.name] = values.astype(dtype)
    if not arrays:
        raise InputError("the model's metadata names no input of numbers; give --inputs FILE.npz")
    return arrays


def as_pixels(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Images, the tensors of four dimensions, as bytes from 0 to 255 instead of numbers below 1."""
    return {
        name: (array * 255).astype(np.uint8)
        if array.ndim == 4 and array.dtype.kind == "f"
        else array
        for name, array in arrays.items()
    }
