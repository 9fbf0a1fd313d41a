"""An .npz whose keys are the model's own arguments, and ``labels`` if there are any."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from prism_edge.accuracy.data.samples import Samples, Source
from prism_edge.errors import InputError

LABELS = "labels"


def finds(path: Path) -> bool:
    return path.suffix == ".npz"


def read(source: Source) -> Samples:
    """Its first samples. Raises ``InputError``."""
    path = source.path
    try:
        with np.load(path, allow_pickle=False) as held:
            arrays = {name: held[name][: source.limit] for name in held.files}
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: not an .npz of plain arrays ({error})") from error
    counts = {name: len(array) for name, array in arrays.items()}
    labels = arrays.pop(LABELS, None)
    count = next(iter(counts.values()), 0)
    if not arrays or len(set(counts.values())) != 1 or not count:
        raise InputError(f"{path}: arrays of one length are needed, these are there: {counts}")
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return Samples(
        name=path.name,
        count=count,
        inputs=tuple(
            {name: tensor[start : start + source.batch] for name, tensor in tensors.items()}
            for start in range(0, count, source.batch)
        ),
        labels=labels,
    )
